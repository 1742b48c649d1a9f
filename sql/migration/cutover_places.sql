-- Where the target may hold rows of captured keys: where their legacy rows belong now, and where they were before.
-- identifiers: legacy, key, forward, id, time
-- fragments: key_type, id_type, time_type
-- literals: code, span_from, span_to
-- params: keys, times
-- locks: ACCESS SHARE on legacy
select distinct p.id::text as key, p.at::timestamptz::text as event_time
from unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
left join {legacy} as l on k.key::{key_type} = l.{key}
left join lateral maintenance.{forward}(l, {span_from}, {span_to}) as f on l.{key} is not null
cross join lateral (
    values
    (f.{id}, f.{time}),
    (maintenance.target_id(k.key::{key_type}, {code}, null::{id_type}), maintenance.target_time(k.at, null::{time_type}))
) as p (id, at)
where p.id is not null and isfinite(p.at)
