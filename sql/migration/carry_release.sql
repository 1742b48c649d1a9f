-- Queue for judgement the rows in quarantine whose place in the target has become free.
-- params: migration, keys, times
insert into maintenance.capture (source_id, key)
select q.source_id, q.key
from unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
inner join maintenance.quarantine as q on k.key = q.target_key and k.at = q.event_time
inner join maintenance.source as s on q.source_id = s.id
where s.migration = %(migration)s and q.target_key is not null
