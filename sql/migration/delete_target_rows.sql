-- Delete the target rows of captured keys at the times given; a row of another source stays.
-- The constant bounds leave out the other partitions; within them each pair is looked up in its own (prefer_keys).
-- identifiers: target, id, time, owns
-- fragments: key_type
-- params: keys, instants, code, first_instant, last_instant
-- locks: ROW EXCLUSIVE on target and the partitions between the first and the last time
delete from {target} as u
using unnest(%(keys)s::text[]::{key_type}[], %(instants)s::timestamptz[]) as k (key, instant)
where
    u.{id} = maintenance.target_id(k.key, %(code)s, u.{id})
    and u.{time} = maintenance.target_time(k.instant, u.{time})
    and u.{time} >= maintenance.target_time(%(first_instant)s, u.{time})
    and u.{time} <= maintenance.target_time(%(last_instant)s, u.{time})
    and {owns}(u)
