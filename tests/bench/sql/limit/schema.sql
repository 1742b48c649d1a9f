-- An empty parent with the columns of the mapped rows.
-- identifiers: source, forward
-- locks: none on relations
create schema bench_limit;

create table bench_limit.event_metric_events as
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
cross join lateral {forward}(s, null, null) as m
with no data
