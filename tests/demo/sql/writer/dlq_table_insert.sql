-- Insert one dead letter as the application does: id, counters and time by default.
-- params: data
-- locks: ROW EXCLUSIVE on dlq_table
insert into monitoring.dlq_table as t (original_payload, failure_reason, status)
values (%(data)s::jsonb, 'writer_single', 'pending')
returning t.id::text, to_jsonb(t)::text
