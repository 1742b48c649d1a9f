-- Record the drop of a partition, in the transaction that drops it.
-- params: id, run_id, as_of
update maintenance.retirement
set state = 'dropped', run_id = %(run_id)s, dropped_at = %(as_of)s, changed_at = clock_timestamp()
where id = %(id)s
