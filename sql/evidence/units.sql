-- The units of the backfill; one counts as done only at the present generation and mapping version (design 8).
-- params: declared
select
    u.kind,
    u.lower,
    u.upper,
    u.partition,
    u.state,
    u.rows_copied,
    u.rows_quarantined,
    u.state = 'done' and u.generation = m.generation and u.mapping_version = m.mapping_version as is_done
from maintenance.unit as u
inner join maintenance.migration as m on u.migration = m.name
where m.name = %(declared)s::jsonb ->> 'migration'
order by u.lower nulls last, u.kind
