-- Record that a loaded unit's partition is attached, in the transaction that attaches it.
-- params: migration, lower
update maintenance.unit
set state = 'done', ended_at = clock_timestamp()
where migration = %(migration)s and kind = 'aside' and lower = %(lower)s and state = 'loaded'
