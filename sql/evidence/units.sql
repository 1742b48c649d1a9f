-- The units of the backfill; one counts as done only at the present generation and mapping version (design 8).
-- One that was done before those changed and whose bounds have been done again since is history, and left out.
-- params: declared
with judged as (
    select
        u.*,
        u.state = 'done' and u.generation = m.generation and u.mapping_version = m.mapping_version as is_done
    from maintenance.unit as u
    inner join maintenance.migration as m on u.migration = m.name
    where m.name = %(declared)s::jsonb ->> 'migration'
)

select
    u.kind,
    u.lower,
    u.upper,
    u.partition,
    u.state,
    u.rows_copied,
    u.rows_quarantined,
    u.is_done
from judged as u
where u.is_done or not exists (
    select from judged as again
    where again.is_done and again.lower <= u.lower and again.upper >= u.upper
)
order by u.lower nulls last, u.kind
