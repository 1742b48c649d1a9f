-- Each source's capture: its four triggers as they should be, the generation current, and how much waits in the log.
-- params: declared
select
    s.relation,
    s.source_id is not null as is_registered,
    coalesce(t.faults = 0, false) as has_triggers,
    t.faulty,
    m.generation,
    coalesce(
        m.trigger_state is not distinct from (
            select string_agg(a.fact, E'\n' order by a.fact)
            from maintenance.source as o
            cross join lateral maintenance.capture_triggers(o.id) as a
            where o.migration = m.name
        ),
        false
    ) as is_generation_current,
    (select count(*) from maintenance.capture as k where k.source_id = s.source_id) as queued
from maintenance.declared_sources(%(declared)s::jsonb) as s
left join maintenance.migration as m on %(declared)s::jsonb ->> 'migration' = m.name
left join lateral (
    select
        count(*) filter (where not a.is_wanted) as faults,
        string_agg(a.name, ', ' order by a.name) filter (where not a.is_wanted) as faulty
    from maintenance.capture_triggers(s.source_id) as a
) as t on s.source_id is not null
order by s.place
