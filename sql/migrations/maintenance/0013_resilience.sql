-- What fails and what is left alone for a while: failures of flow runs and the state of breakers (A4, A8).

create table maintenance.failure (
    id uuid primary key default gen_random_uuid(),
    occurred_at timestamptz not null,
    kind text not null,
    object text not null,
    message text not null,
    flow text not null,
    flow_run_id text not null,
    delivered_at timestamptz,
    refused text,
    refused_at timestamptz,
    constraint failure_flow_run_id_key unique (flow_run_id)
);
comment on table maintenance.failure is
'One row for each failed flow run. Where the declaration names a sink for failures, the row is written there as well, once the sink is nobody''s migration target.';
comment on column maintenance.failure.delivered_at is 'When the sink got it; null while it waits or where no sink is declared.';
comment on column maintenance.failure.refused is 'Why the sink did not take it at the last attempt.';
create index failure_waiting on maintenance.failure (occurred_at) where delivered_at is null;

create table maintenance.breaker (
    dependency text not null,
    address text not null,
    state text not null check (state in ('closed', 'open', 'half_open')),
    failures integer not null,
    since timestamptz not null,
    reason text not null,
    seen_by text not null,
    told_at timestamptz not null default clock_timestamp(),
    primary key (dependency, address)
);
comment on table maintenance.breaker is
'The last state that a process has told of each dependency: database, storage, redis. A flow run tells when it ends.';
