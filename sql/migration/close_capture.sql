-- Forget captured keys of a migration whose old tables are read no more.
-- params: migration
delete from maintenance.capture as c
using maintenance.source as s
where c.source_id = s.id and s.migration = %(migration)s
