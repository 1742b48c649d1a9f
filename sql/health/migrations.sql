-- Each migration's phase, what its capture still holds, which units are not done, and the settings that say which side is used.
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
        from maintenance.unit as u
        where
            u.migration = m.name
            and (u.state <> 'done' or u.generation <> m.generation or u.mapping_version <> m.mapping_version)
    ) as open_units,
    (select jsonb_object_agg(t.name, t.value) from maintenance.setting as t) as settings
from maintenance.migration as m
order by m.name
