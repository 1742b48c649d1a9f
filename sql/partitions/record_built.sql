-- Record that the longer partition holds what its members hold, in the transaction that copied and compared them.
-- params: id, partition_oid, rows, content_hash
update maintenance.coarsening
set
    state = 'built',
    partition_oid = %(partition_oid)s,
    built_xid = pg_current_xact_id(),
    rows = %(rows)s,
    content_hash = %(content_hash)s
where id = %(id)s and state = 'watched'
