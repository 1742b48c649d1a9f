-- Note that every source of a migration is captured from now on.
-- params: migration
update maintenance.migration
set
    phase = 'capturing',
    captured_at = coalesce(captured_at, clock_timestamp()),
    changed_at = clock_timestamp()
where name = %(migration)s and phase in ('declared', 'rolled_back')
