-- The units of a migration's backfill.
-- params: migration
select u.id, u.kind, u.lower, u.upper, u.partition, u.state, u.generation, u.mapping_version
from maintenance.unit as u
where u.migration = %(migration)s
order by u.kind, u.lower
