-- The units of the backfill; one counts as done only at the present generation and mapping version (design 8).
-- One that was done before those changed is history, and left out, where its bounds have been done again since or lie outside the
-- span by now: retention has moved it, and rows of such times are the residue's.
-- params: declared
with judged as (
    select
        u.*,
        u.state = 'done' and u.generation = m.generation and u.mapping_version = m.mapping_version as is_done,
        u.state = 'done' and (u.upper <= s.lower or u.lower >= s.upper) as is_outside
    from maintenance.unit as u
    inner join maintenance.migration as m on u.migration = m.name
    left join maintenance.span as s on u.target = s.target
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
where u.is_done or (
    u.is_outside is not true
    and not exists (
        select from judged as again
        where again.is_done and again.lower <= u.lower and again.upper >= u.upper
    )
)
order by u.lower nulls last, u.kind
