-- What retention has begun, what it remembers of each table, and what must not go (D4).

create table maintenance.retention (
    relation text primary key,
    keep interval not null,
    as_of timestamptz not null,
    ran_at timestamptz not null default clock_timestamp(),
    accepts text check (accepts in ('shortened', 'clock'))
);
comment on table maintenance.retention is
'What the last applied run of each table decided by. A sudden change against it is refused until a person accepts it.';
comment on column maintenance.retention.accepts is
'Set by a person to accept one refusal: a retention shortened by more than half, or a clock that seems to have jumped. '
'The next applied run clears it.';

create table maintenance.hold (
    id bigint generated always as identity primary key,
    relation text not null,
    lower timestamptz,
    upper timestamptz,
    reason text not null check (reason <> ''),
    owner text not null check (owner <> ''),
    until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    created_by text not null default current_user,
    check (lower < upper)
);
create index hold_relation on maintenance.hold (relation);
comment on table maintenance.hold is
'Legal holds: no partition that overlaps the half-open range is detached or dropped. Null bounds mean all of the table, a '
'null until means until the row is deleted. Rows and not configuration, so that a hold needs no deploy.';

create table maintenance.retirement (
    id bigint generated always as identity primary key,
    parent text not null,
    partition text not null,
    partition_oid oid not null,
    lower timestamptz,
    upper timestamptz,
    state text not null default 'due'
    check (state in ('due', 'detaching', 'detached', 'archiving', 'archived', 'dropped', 'returned')),
    reason text not null,
    run_id bigint,
    due_at timestamptz not null,
    detached_at timestamptz,
    archived_at timestamptz,
    dropped_at timestamptz,
    archive text,
    manifest jsonb,
    note text,
    changed_at timestamptz not null default clock_timestamp()
);
-- A dropped table's oid may be given again one day.
create unique index retirement_open on maintenance.retirement (partition_oid) where state not in ('dropped', 'returned');
create index retirement_parent on maintenance.retirement (parent, upper);
comment on table maintenance.retirement is
'One row per partition on its way out, written before each act and again after it; recovery believes the catalog.';
comment on column maintenance.retirement.state is
'due: will be detached. detaching: DETACH may have begun. archived: verified, waiting for the end of its grace period. '
'returned: somebody attached it again. A table that was found gone is dropped, with a note.';
comment on column maintenance.retirement.archived_at is 'The instant that the grace period counts from, as the run saw it (as_of).';
comment on column maintenance.retirement.archive is 'Path of the verified Parquet file; its manifest lies beside it.';
