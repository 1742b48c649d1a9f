-- Insert one range of keys of a source through the parent, mapped by the project's own function; refused rows are left out.
-- identifiers: target, source, forward
-- params: after, until, span_from, span_to
-- locks: ROW EXCLUSIVE on the target and its partitions, ACCESS SHARE on source
insert into {target} (
    id, event_type, event_category, source_system, event_timestamp, created_at, updated_at, event_data, event_metrics,
    event_metadata, severity, status, priority, retry_count, max_retries, resolved_at, duration_ms, data_size_bytes,
    response_time_ms, correlation_id, user_id, session_id
)
select
    m.id,
    m.event_type,
    m.event_category,
    m.source_system,
    m.event_timestamp,
    m.created_at,
    m.updated_at,
    m.event_data,
    m.event_metrics,
    m.event_metadata,
    m.severity,
    m.status,
    m.priority,
    m.retry_count,
    m.max_retries,
    m.resolved_at,
    m.duration_ms,
    m.data_size_bytes,
    m.response_time_ms,
    m.correlation_id,
    m.user_id,
    m.session_id
from {source} as s
cross join lateral {forward}(s, %(span_from)s, %(span_to)s) as m
where (s.id > %(after)s or %(after)s is null) and s.id <= %(until)s and m.reason is null
on conflict do nothing
