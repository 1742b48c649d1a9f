-- Keep how long the legacy tables were locked, commit included.
-- params: migration, locked_ms
update maintenance.cutover set locked_ms = %(locked_ms)s where migration = %(migration)s
