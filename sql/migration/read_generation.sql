-- The capture generation of a migration, and whether the triggers are still as they were when it was counted (design 8).
-- params: migration
select
    m.generation,
    m.mapping_version,
    m.trigger_state is not distinct from (
        select string_agg(t.fact, E'\n' order by t.fact)
        from maintenance.source as s
        cross join lateral maintenance.capture_triggers(s.id) as t
        where s.migration = m.name
    ) as is_current,
    (
        select coalesce(array_agg(s.relation || ' (' || t.name || ')' order by s.position, t.name), '{{}}')
        from maintenance.source as s
        cross join lateral maintenance.capture_triggers(s.id) as t
        where s.migration = m.name and not t.is_wanted
    ) as faults
from maintenance.migration as m
where m.name = %(migration)s
