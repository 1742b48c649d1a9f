-- Show the unified rows of cache_metrics_monitoring under its old name, with its columns' types and order (M4).
-- identifiers: target, backward, owns
select
    b.id,
    b.cache_key,
    b.operation_type,
    b.implementation_type,
    b.response_time_ms,
    b.cache_size,
    b.error_type,
    b.error_message,
    b.metadata,
    b.timestamp
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
