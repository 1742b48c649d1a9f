-- Insert one validation metric as the application does: local times, the database gives the id.
-- params: data
-- locks: ROW EXCLUSIVE on validation_metrics
insert into monitoring.validation_metrics as t (
    event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
values (
    'writer_single', 10, 9, 1, 90, (%(data)s::jsonb -> 'value')::float8 / 7, 1, 0, localtimestamp, localtimestamp, localtimestamp
)
returning t.id::text, to_jsonb(t)::text
