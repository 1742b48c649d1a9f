-- What has happened, written in the transaction that it records (design 1). Only the maintenance role reads or writes it.

create table maintenance.run (
    id bigint generated always as identity primary key,
    flow text not null,
    subject text not null,
    outcome text not null default 'running'
        check (outcome in ('running', 'completed', 'deferred', 'waiting', 'failed', 'abandoned')),
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    backend_pid integer not null default pg_backend_pid(),
    flow_run_id text,
    detail jsonb not null default '{}'
);
create index run_flow_subject on maintenance.run (flow, subject, started_at desc);
comment on table maintenance.run is
    'One row per run of a flow on a subject; the advisory lock run:<subject> says whether it still runs.';

create table maintenance.lock_wait (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    run_id bigint,
    relation text not null,
    action text not null,
    waited_ms integer not null,
    granted boolean not null,
    holders jsonb not null default '[]'
);
comment on table maintenance.lock_wait is 'Waits for locks that were not granted at once, and who held them.';

create table maintenance.setting (
    name text primary key,
    value text not null,
    changed_at timestamptz not null default clock_timestamp(),
    changed_by text not null default current_user
);
comment on table maintenance.setting is 'Settings that applications may read through functions, such as USE_UNIFIED_SCHEMA (M3).';

create table maintenance.span (
    target text primary key,
    lower timestamptz not null,
    upper timestamptz not null,
    changed_at timestamptz not null default clock_timestamp(),
    check (lower < upper)
);
comment on table maintenance.span is
    'Half-open bounds of event times that a target takes. Copy and drain read it FOR SHARE, a mover takes FOR UPDATE.';

create table maintenance.migration (
    name text primary key,
    target text not null,
    phase text not null default 'declared' check (phase in ('declared', 'capturing', 'cut_over', 'rolled_back', 'retired')),
    mapping_version text,
    generation integer not null default 0,
    trigger_state text,
    captured_at timestamptz,
    cut_over_at timestamptz,
    rolled_back_at timestamptz,
    changed_at timestamptz not null default clock_timestamp()
);
comment on column maintenance.migration.generation is
    'Capture generation: raised when a capture trigger is created, dropped, enabled, disabled or altered (design 8).';

create table maintenance.source (
    id integer generated always as identity primary key,
    migration text not null references maintenance.migration,
    code integer not null,
    relation text not null,
    relation_oid oid not null,
    aside text not null,
    position integer not null,
    key_column text not null,
    key_type text not null,
    time_column text not null,
    time_type text not null,
    zone text not null,
    forward text not null,
    backward text not null,
    owns text not null,
    former_triggers jsonb not null default '{}',
    former_sequence text,
    unique (migration, code),
    unique (migration, relation)
);
comment on table maintenance.source is
    'Legacy tables under migration. relation is the declared name; relation_oid stays the same table through renames. '
    'forward, backward and owns name the installed mapping functions in force.';

create table maintenance.capture (
    source_id integer not null,
    seq bigint generated always as identity,
    key text not null,
    old_time timestamptz,
    primary key (source_id, seq)
);
comment on table maintenance.capture is
    'Keys whose legacy row changed, with the event time they had before; emptied by the drain (design 5).';

create table maintenance.unit (
    id bigint generated always as identity primary key,
    migration text not null references maintenance.migration,
    target text not null,
    kind text not null check (kind in ('aside', 'live', 'residue')),
    lower timestamptz,
    upper timestamptz,
    partition text,
    state text not null default 'planned' check (state in ('planned', 'loaded', 'done')),
    generation integer not null,
    mapping_version text not null,
    rows_copied bigint not null default 0,
    rows_quarantined bigint not null default 0,
    run_id bigint,
    started_at timestamptz,
    ended_at timestamptz,
    unique nulls not distinct (migration, kind, lower)
);
comment on table maintenance.unit is
    'Units of a backfill. An aside unit registers its bounds here before its partition exists, so creation leaves them alone. '
    'Done counts only at the current generation and mapping version.';

create table maintenance.unit_source (
    unit_id bigint not null references maintenance.unit on delete cascade,
    source_id integer not null,
    rows_copied bigint not null,
    rows_quarantined bigint not null,
    primary key (unit_id, source_id)
);

create table maintenance.quarantine (
    source_id integer not null,
    key text not null,
    event_time timestamptz,
    target_key text,
    reason text not null,
    legacy_row jsonb not null,
    quarantined_at timestamptz not null default clock_timestamp(),
    primary key (source_id, key)
);
create index quarantine_collision on maintenance.quarantine (target_key, event_time) where target_key is not null;
comment on table maintenance.quarantine is
    'Legacy rows that the mapping refuses, whole, with the reason. target_key is set on collisions only.';

create table maintenance.evidence (
    id bigint generated always as identity primary key,
    subject text not null,
    step text not null,
    taken_at timestamptz not null default clock_timestamp(),
    server_version integer not null default current_setting('server_version_num')::integer,
    facts jsonb not null,
    hash text not null
);
comment on table maintenance.evidence is 'Facts of one snapshot, a list of rows per subject; what the gates judge (design 8).';

create table maintenance.verdict (
    id bigint generated always as identity primary key,
    subject text not null,
    step text not null,
    status text not null check (status in ('PASSED', 'WARNED', 'BLOCKED', 'ERRORED')),
    evidence_id bigint references maintenance.evidence,
    evidence_hash text not null,
    fingerprint text not null,
    mapping_version text,
    generation integer,
    reasons jsonb not null default '[]',
    data_docs text,
    decided_at timestamptz not null default clock_timestamp(),
    valid_until timestamptz not null
);
create index verdict_subject_step on maintenance.verdict (subject, step, decided_at desc);

create table maintenance.approval_request (
    id uuid primary key default gen_random_uuid(),
    migration text not null references maintenance.migration,
    quarantined_rows bigint not null default 0,
    fingerprint text not null,
    mapping_version text not null,
    requested_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    close_reason text
);
create table maintenance.approval (
    request_id uuid primary key references maintenance.approval_request,
    decision text not null check (decision in ('approved', 'refused')),
    name text not null check (name <> ''),
    reason text not null check (reason <> ''),
    sign_offs text[] not null default '{}',
    valid_until timestamptz not null,
    given_at timestamptz not null default clock_timestamp()
);
comment on table maintenance.approval is 'A person''s answer to a request: by form, command line or SQL (design 9).';
