-- The newest comparison of every row, and whether it still speaks of the present mapping and capture (M7).
-- params: declared
select
    c.id as comparison,
    c.snapshot_at,
    c.rows_compared,
    c.legacy_rows,
    c.quarantined,
    c.in_flight,
    c.differing,
    c.kinds::text as kinds,
    c.generation = m.generation and c.mapping_version = m.mapping_version as is_current
from maintenance.migration as m
inner join lateral (
    select n.*
    from maintenance.comparison as n
    where n.migration = m.name and not n.is_partial
    order by n.id desc
    limit 1
) as c on true
where m.name = %(declared)s::jsonb ->> 'migration'
