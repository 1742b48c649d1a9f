-- Keep whole a row that no legacy table takes, with the reason.
-- fragments: as_json
-- literals: migration
-- params: keys, times, reasons
insert into maintenance.carry_back (migration, target_key, event_time, reason, target_row)
select {migration}, k.key, k.at, k.reason, {as_json}
from unnest(%(keys)s::text[], %(times)s::timestamptz[], %(reasons)s::text[]) as k (key, at, reason)
inner join pg_temp.maintenance_carried as r on k.key = r.key and k.at = r.at
on conflict (migration, target_key, event_time) do update
set reason = excluded.reason, target_row = excluded.target_row, source_id = null, legacy_key = null
