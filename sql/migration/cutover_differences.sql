-- Keys that the last drain has applied and whose rows are nevertheless not the same on both sides; the target's rows of their
-- places have been read before.
-- identifiers: legacy, key, forward, owns, id, time
-- fragments: mapped, unified, key_type, id_type, time_type
-- literals: source_id, code, span_from, span_to
-- params: keys, times
-- locks: ACCESS SHARE on legacy
select distinct k.key
from unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
left join {legacy} as l on k.key::{key_type} = l.{key}
left join lateral maintenance.{forward}(l, {span_from}, {span_to}) as f on l.{key} is not null
left join pg_temp.maintenance_carried as r
    on f.reason is null and r.key = f.{id}::text and r.at = f.{time}::timestamptz and maintenance.{owns}(r.u)
left join pg_temp.maintenance_carried as former
    on
        former.key = maintenance.target_id(k.key::{key_type}, {code}, null::{id_type})::text
        and former.at = maintenance.target_time(k.at, null::{time_type})::timestamptz and maintenance.{owns}(former.u)
left join maintenance.quarantine as q on q.source_id = {source_id} and k.key = q.key
where case
    when l.{key} is null then former.key is not null or q.key is not null
    when f.reason is not null then former.key is not null or q.reason is distinct from f.reason
    when q.target_key is not null then r.key is not null or former.key is not null
    else
        q.key is not null or r.key is null or row({mapped})::record is distinct from row({unified})::record
        or (former.key is not null and former.at is distinct from f.{time}::timestamptz)
end
