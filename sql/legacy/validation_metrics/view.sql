-- Show the unified rows of validation_metrics under its old name, with its columns' types and order (M4).
-- identifiers: target, backward, owns
select
    b.id,
    b.event_type::varchar(50) as event_type,
    b.total_events,
    b.passed_events,
    b.failed_events,
    b.pass_rate,
    b.avg_validation_time_ms,
    b.total_errors,
    b.total_warnings,
    b.flush_timestamp,
    b.created_at,
    b.updated_at
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
