-- Show the unified rows of events under its old name, with its columns' types and order (M4).
-- identifiers: target, backward, owns
select
    b.id,
    b.type::text as type,
    b.data,
    b.timestamp,
    b.created_at
from {target} as u
cross join lateral {backward}(u) as b
where {owns}(u)
