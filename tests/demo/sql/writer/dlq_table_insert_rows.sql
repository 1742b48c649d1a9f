-- Insert several dead letters with ids and times of the application's choice; some without status or counters.
-- params: ids, times, data
-- locks: ROW EXCLUSIVE on dlq_table
insert into monitoring.dlq_table as t (id, original_payload, failure_reason, retry_count, max_retries, created_at, status)
select
    id, jsonb_build_array(%(data)s::jsonb, n), 'writer_batch', nullif(mod(n, 4), 3), nullif(1000000, mod(n, 5) * 1000000), at,
    (array['pending', 'retrying', 'failed', null])[1 + mod(n, 4)]
from unnest(%(ids)s::bigint [], %(times)s::timestamptz []) with ordinality as rows (id, at, n)
returning t.id::text, to_jsonb(t)::text
