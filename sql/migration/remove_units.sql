-- Forget the units of a migration that has been removed.
-- params: migration
delete from maintenance.unit where migration = %(migration)s
