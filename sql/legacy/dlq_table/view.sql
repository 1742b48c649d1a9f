-- Show the unified rows of dlq_table under its old name, with its columns' types and order (M4).
-- identifiers: target, backward, owns
select
    b.id,
    b.original_payload,
    b.failure_reason,
    b.retry_count,
    b.max_retries,
    b.created_at,
    b.last_retry_at,
    b.recovered_at,
    b.status::varchar(20) as status
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
