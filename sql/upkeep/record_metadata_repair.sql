-- Record a batch of repaired metadata in its own transaction.
-- params: run_id, relation, part, kinds, rows_repaired
insert into maintenance.metadata_repair (run_id, relation, part, kinds, rows_repaired)
values (%(run_id)s, %(relation)s, %(part)s, %(kinds)s, %(rows_repaired)s)
