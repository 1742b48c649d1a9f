-- Read what stands in the target now under ids and times; each look-up is pruned to one partition.
-- identifiers: target, id, time
-- fragments: id_type, time_type
-- params: keys, times
-- locks: ACCESS SHARE on target
insert into pg_temp.maintenance_carried (key, at, u)
select k.key, k.at, found.u
from unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
left join lateral (
    select u from {target} as u
    where u.{id} = k.key::{id_type} and u.{time} = k.at::{time_type}
    offset 0
) as found on true
