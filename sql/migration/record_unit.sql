-- Record what a unit did, with the generation and mapping version it was done at.
-- params: id, state, generation, mapping_version, run_id, rows_copied, rows_quarantined
update maintenance.unit
set
    state = %(state)s,
    generation = %(generation)s,
    mapping_version = %(mapping_version)s,
    run_id = %(run_id)s,
    rows_copied = %(rows_copied)s,
    rows_quarantined = %(rows_quarantined)s,
    started_at = transaction_timestamp(),
    ended_at = clock_timestamp()
where id = %(id)s
