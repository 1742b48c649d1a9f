-- A partition as pandas reads it: what Parquet has no type for as text, which costs least.
-- identifiers: partition
select
    id::text, event_type, event_category, source_system, event_timestamp, created_at, updated_at,
    event_data::text, event_metrics::text, event_metadata::text, severity, status, priority, retry_count, max_retries,
    resolved_at, duration_ms, data_size_bytes, response_time_ms, correlation_id, user_id, session_id
from {partition}
