-- The backup before a migration: which verified archive each legacy table can be restored from (M9).

create table maintenance.backup (
    id bigint generated always as identity primary key,
    migration text not null references maintenance.migration,
    relation text not null,
    relation_oid oid not null,
    run_id bigint not null references maintenance.run,
    snapshot_at timestamptz not null,
    row_count bigint not null,
    content_hash text not null,
    path text not null,
    manifest jsonb not null,
    verified_at timestamptz not null default clock_timestamp()
);
create index backup_relation on maintenance.backup (migration, relation_oid);
create index backup_run on maintenance.backup (run_id);
comment on table maintenance.backup is
'Archives of legacy tables made before capture, each written once its file was loaded again and found equal.';
comment on column maintenance.backup.snapshot_at is 'The instant whose state the file holds: rows, hash and file are of one snapshot.';
