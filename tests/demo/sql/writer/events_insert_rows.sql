-- Insert several events with ids and times of the application's choice.
-- params: ids, times, data
-- locks: ROW EXCLUSIVE on events
insert into monitoring.events as t (id, type, data, timestamp, created_at)
select id, 'writer_batch', %(data)s::jsonb || jsonb_build_object('item', n), at, at
from unnest(%(ids)s::bigint [], %(times)s::timestamptz []) with ordinality as rows (id, at, n)
returning t.id::text, to_jsonb(t)::text
