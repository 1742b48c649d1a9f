-- Where a migration stands, and what the settings row tells applications (M3).
-- params: declared
select
    m.name as migration,
    m.phase,
    m.cut_over_at,
    s.name as toggle,
    s.value as toggle_value,
    coalesce(lower(s.value) in ('on', 'true', '1'), false) as is_toggled
from maintenance.migration as m
left join maintenance.setting as s on %(declared)s::jsonb ->> 'toggle' = s.name
where m.name = %(declared)s::jsonb ->> 'migration'
