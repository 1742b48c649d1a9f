-- Record a legacy table's archive once its file is proven.
-- params: migration, relation, relation_oid, run_id, snapshot_at, rows, content_hash, path, manifest
insert into maintenance.backup (
    migration, relation, relation_oid, run_id, snapshot_at, row_count, content_hash, path, manifest
)
values (
    %(migration)s, %(relation)s, %(relation_oid)s, %(run_id)s, %(snapshot_at)s, %(rows)s, %(content_hash)s, %(path)s, %(manifest)s
)
