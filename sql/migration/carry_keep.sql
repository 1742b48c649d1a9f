-- Keep whole the rows whose legacy row does not map forward to them again.
-- identifiers: aside, key, forward, backward
-- fragments: mapped, unified, as_json, key_type
-- literals: migration, source_id
-- params: keys, times, legacy_keys
-- locks: ACCESS SHARE on the table aside
insert into maintenance.carry_back (migration, target_key, event_time, source_id, legacy_key, target_row)
select {migration}, k.key, k.at, {source_id}, l.{key}::text, {as_json}
from unnest(%(keys)s::text[], %(times)s::timestamptz[], %(legacy_keys)s::text[]) as k (key, at, legacy_key)
inner join pg_temp.maintenance_carried as r on k.key = r.key and k.at = r.at
cross join lateral maintenance.{backward}(r.u) as b
inner join {aside} as l on l.{key} = coalesce(k.legacy_key::{key_type}, b.{key})
cross join lateral maintenance.{forward}(l, '-infinity', 'infinity') as f
where f.reason is not null or row({mapped})::record is distinct from row({unified})::record
