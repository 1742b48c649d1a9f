-- Insert several events with ids and times of the application's choice.
-- params: ids, times, data
-- locks: ROW EXCLUSIVE on monitoring_events
insert into monitoring.monitoring_events as t (id, event_type, timestamp, source, data, metadata, created_at)
select id, 'writer_batch', at, 'writer', %(data)s::jsonb || jsonb_build_object('item', n), '{{"batch": true}}', nullif(at, 'infinity')
from unnest(%(ids)s::uuid [], %(times)s::timestamptz []) with ordinality as rows (id, at, n)
returning t.id::text, to_jsonb(t)::text
