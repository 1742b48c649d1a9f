-- Queue the keys of quarantined collisions whose place in the target nobody holds any more.
-- identifiers: target, id, time
-- fragments: id_type
-- params: source_ids, keys, target_keys, instants, first_instant, last_instant
-- locks: ACCESS SHARE on target and the partitions between the first and the last time
insert into maintenance.capture (source_id, key)
select l.source_id, l.key
from unnest(
    %(source_ids)s::integer[], %(keys)s::text[], %(target_keys)s::text[], %(instants)s::timestamptz[]
) as l (source_id, key, target_key, instant)
where not exists (
    select
    from {target} as u
    where u.{id} = l.target_key::{id_type} and u.{time} = maintenance.target_time(l.instant, u.{time})
        and u.{time} >= maintenance.target_time(%(first_instant)s, u.{time})
        and u.{time} <= maintenance.target_time(%(last_instant)s, u.{time})
)
