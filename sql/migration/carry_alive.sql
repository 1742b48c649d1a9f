-- Which of these places hold a row of the source.
-- identifiers: target, id, time, owns
-- fragments: id_type, time_type
-- params: keys, times
-- locks: ACCESS SHARE on target
select k.key, k.at::text as event_time
from unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
cross join lateral (
    select from {target} as u
    where u.{id} = k.key::{id_type} and u.{time} = k.at::{time_type} and maintenance.{owns}(u)
    offset 0
) as found
