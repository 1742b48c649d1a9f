-- Entries of a migration's capture log.
-- params: migration
select count(*) as entries
from maintenance.capture as c
inner join maintenance.source as s on c.source_id = s.id
where s.migration = %(migration)s
