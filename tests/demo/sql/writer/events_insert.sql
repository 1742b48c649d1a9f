-- Insert one event as the application does: the database gives the id.
-- params: data
-- locks: ROW EXCLUSIVE on events
insert into monitoring.events as t (type, data, timestamp, created_at)
values ('writer_single', %(data)s::jsonb, now(), now())
returning t.id::text, to_jsonb(t)::text
