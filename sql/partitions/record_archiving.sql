-- Record that a file may be written from now on, and where. The run of the record stays the one that removed it from its table.
-- params: id, archive
update maintenance.retirement
set state = 'archiving', archive = %(archive)s, changed_at = clock_timestamp()
where id = %(id)s
