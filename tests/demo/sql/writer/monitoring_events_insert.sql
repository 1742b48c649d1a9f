-- Insert one event as the application does: the database gives the id.
-- params: data
-- locks: ROW EXCLUSIVE on monitoring_events
insert into monitoring.monitoring_events as t (event_type, timestamp, source, data, created_at)
values ('writer_single', now(), 'writer', %(data)s::jsonb, now())
returning t.id::text, to_jsonb(t)::text
