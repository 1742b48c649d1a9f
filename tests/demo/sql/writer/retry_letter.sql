-- Count one more retry of a dead letter; two sessions that do this at once must not lose one.
-- params: id
-- locks: ROW EXCLUSIVE on dlq_table
update monitoring.dlq_table as t
set
    retry_count = least(t.retry_count, 2147483646) + 1,
    max_retries = greatest(t.max_retries, least(t.retry_count, 2147483646) + 1),
    last_retry_at = now(),
    status = 'retrying'
where t.id = %(id)s
returning t.id::text, to_jsonb(t)::text
