-- Mark a dead letter as recovered.
-- params: id
-- locks: ROW EXCLUSIVE on dlq_table
update monitoring.dlq_table as t set status = 'recovered', recovered_at = now() where t.id = %(id)s
returning t.id::text, to_jsonb(t)::text
