-- Show the unified rows of monitoring_events under its old name, with its columns' types and order (M4).
-- identifiers: target, backward, owns
select
    b.id,
    b.event_type::varchar(50) as event_type,
    b.timestamp,
    b.source::varchar(100) as source,
    b.data,
    b.metadata,
    b.created_at
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
