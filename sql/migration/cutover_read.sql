-- What stood before the cutover in force.
-- params: migration
select c.cut_over_at, c.setting_before, c.granted, c.dependants, c.drained, c.locked_ms
from maintenance.cutover as c
where c.migration = %(migration)s
