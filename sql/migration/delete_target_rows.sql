-- Delete the target rows of captured keys at the times given; a row of another source stays.
-- Each pair is looked up by the primary key of its own partition (prefer_keys). Whose row it is may not become an index
-- condition: without statistics a range of ids looks cheap, and every key would read every partition; hence the CASE.
-- Partitions that end before the first of the times are neither planned nor locked. The last is no bound: without statistics a
-- range of times looks even cheaper.
-- identifiers: target, id, time, owns
-- fragments: key_type
-- params: keys, instants, first_instant, code
-- locks: ROW EXCLUSIVE on target and its partitions
delete from {target} as u
using unnest(%(keys)s::text[]::{key_type}[], %(instants)s::timestamptz[]) as k (key, instant)
where
    u.{id} = maintenance.target_id(k.key, %(code)s, u.{id})
    and u.{time} = maintenance.target_time(k.instant, u.{time})
    and u.{time} >= maintenance.target_time(%(first_instant)s::timestamptz, u.{time})
    and case when {owns}(u) then true end
