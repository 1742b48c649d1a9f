-- Insert several validation metrics with ids and local times of the application's choice.
-- params: ids, times, data
-- locks: ROW EXCLUSIVE on validation_metrics
insert into monitoring.validation_metrics as t (
    id, event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
select id, 'writer_batch', n, n, 0, 100, (%(data)s::jsonb -> 'value')::float8 / n, 0, mod(n, 3), at, at, localtimestamp
from unnest(%(ids)s::bigint [], %(times)s::timestamp []) with ordinality as rows (id, at, n)
returning t.id::text, to_jsonb(t)::text
