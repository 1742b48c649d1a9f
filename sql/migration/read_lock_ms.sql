-- How long the cutover in force held the legacy tables' locks, in milliseconds.
-- params: migration
select k.locked_ms from maintenance.cutover as k where k.migration = %(migration)s
