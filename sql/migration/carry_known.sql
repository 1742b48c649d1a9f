-- Take what was kept of rows that could not be carried back exactly; they are judged anew.
-- params: migration, keys, times
delete from maintenance.carry_back as c
using unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
where c.migration = %(migration)s and c.target_key = k.key and c.event_time = k.at
returning c.target_key as key, c.event_time::text as event_time, c.source_id, c.legacy_key
