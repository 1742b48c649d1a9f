-- Record that a file may be written from now on, and where.
-- params: id, run_id, archive
update maintenance.retirement
set state = 'archiving', run_id = %(run_id)s, archive = %(archive)s, changed_at = clock_timestamp()
where id = %(id)s
