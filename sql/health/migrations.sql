-- Each migration's phase, what its capture still holds, which units are not done, and the settings that say which side is used.
-- A unit that was done before the mapping or the capture changed is history where its bounds have been done again since or lie
-- outside the span by now, as for the gate (evidence/units).
with judged as (
    select
        u.migration,
        u.lower,
        u.upper,
        u.state = 'done' and u.generation = m.generation and u.mapping_version = m.mapping_version as is_done,
        u.state = 'done' and (u.upper <= s.lower or u.lower >= s.upper) as is_outside
    from maintenance.unit as u
    inner join maintenance.migration as m on u.migration = m.name
    left join maintenance.span as s on u.target = s.target
)

select
    m.name, m.phase,
    (
        select count(*)
        from maintenance.capture as c
        inner join maintenance.source as s on c.source_id = s.id
        where s.migration = m.name
    ) as queued_keys,
    (
        select count(*)
        from judged as u
        where
            u.migration = m.name and u.is_done is not true and u.is_outside is not true
            and not exists (
                select from judged as again
                where again.migration = u.migration and again.is_done and again.lower <= u.lower and again.upper >= u.upper
            )
    ) as open_units,
    (select jsonb_object_agg(t.name, t.value) from maintenance.setting as t) as settings
from maintenance.migration as m
order by m.name
