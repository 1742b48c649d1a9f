-- Keys that the last drain has applied and whose rows are nevertheless not the same on both sides. Reads ids and times alone,
-- each look-up pruned to one partition.
-- identifiers: legacy, key, forward, owns, target, id, time
-- fragments: mapped, unified, key_type, id_type, time_type
-- literals: source_id, code, span_from, span_to
-- params: keys, times
-- locks: ACCESS SHARE on legacy and target
select distinct k.key
from unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
left join {legacy} as l on k.key::{key_type} = l.{key}
left join lateral maintenance.{forward}(l, {span_from}, {span_to}) as f on l.{key} is not null
left join lateral (
    select true as is_there, u from {target} as u
    where u.{id} = f.{id} and u.{time} = f.{time} and maintenance.{owns}(u)
    offset 0
) as r on f.reason is null
left join lateral (
    select true as is_there from {target} as u
    where
        u.{id} = maintenance.target_id(k.key::{key_type}, {code}, null::{id_type})
        and u.{time} = maintenance.target_time(k.at, null::{time_type}) and maintenance.{owns}(u)
    offset 0
) as former on true
left join maintenance.quarantine as q on q.source_id = {source_id} and k.key = q.key
where case
    when l.{key} is null then former.is_there is true or q.key is not null
    when f.reason is not null then former.is_there is true or q.reason is distinct from f.reason
    when q.target_key is not null then r.is_there is true or former.is_there is true
    else
        q.key is not null or r.is_there is not true or row({mapped})::record is distinct from row({unified})::record
        or (former.is_there is true and maintenance.target_time(k.at, null::{time_type}) is distinct from f.{time})
end
