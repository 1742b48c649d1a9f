-- The one table for events and metrics, in the place of five monitoring tables (D1, D6, D8, D11, D12).
-- Secondary indexes, partitions and grants come from elsewhere: maintenance.yaml, create_partitions, the cutover.
create schema if not exists unified;
revoke all on schema unified from public;
comment on schema unified is 'Events and metrics of all subsystems.';

create table unified.event_metric_events (
    id uuid not null default gen_random_uuid(),
    event_type varchar(500) not null,
    event_category varchar(30) not null,
    source_system varchar(500) not null,
    event_timestamp timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    event_data jsonb not null default '{}',
    event_metrics jsonb not null default '{}',
    event_metadata jsonb not null default '{"version": "1.0", "schema": "standard", "fields": {}}',
    severity varchar(20) not null default 'info',
    status varchar(20) not null default 'pending',
    priority integer not null default 0,
    retry_count integer not null default 0,
    max_retries integer not null default 3,
    resolved_at timestamptz,
    duration_ms integer,
    data_size_bytes integer,
    response_time_ms integer,
    correlation_id varchar(100),
    user_id varchar(100),
    session_id varchar(100),
    constraint event_metric_events_pkey primary key (id, event_timestamp),
    constraint event_metric_events_category_check
    check (event_category in ('monitoring', 'validation', 'cache', 'error', 'dlq')),
    constraint event_metric_events_severity_check check (severity in ('info', 'warning', 'error', 'critical')),
    constraint event_metric_events_status_check check (status in ('pending', 'success', 'failed', 'retry')),
    -- Most rows hold exactly the empty shape, which one comparison settles. No part of this is ever NULL.
    constraint event_metric_events_metadata_check check (
        event_metadata = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
        or (
            event_metadata @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
            and coalesce(event_metadata -> 'wrapped' = 'true'::jsonb, true)
            and coalesce(jsonb_typeof(event_metadata -> 'legacy') = 'object', true)
            and event_metadata - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb
        )
    )
) partition by range (event_timestamp);

alter table unified.event_metric_events enable row level security;
create policy "service role all" on unified.event_metric_events to service_role using (true) with check (true);
create policy "authenticated read" on unified.event_metric_events for select to authenticated using (true);

-- Until the cutover only the maintenance role writes (M3); Supabase's default privileges would grant at once.
revoke all on unified.event_metric_events from public, anon, authenticated, service_role;

comment on table unified.event_metric_events is
'Events and metrics of all subsystems, partitioned by event_timestamp; replaces five monitoring tables. One event is known by id and event_timestamp together.';
comment on column unified.event_metric_events.id is
'Kept from a legacy uuid; a legacy bigint key is held in a reversible version 8 id together with the code of its source.';
comment on column unified.event_metric_events.event_type is 'What happened, in the words of the subsystem; up to 500 characters.';
comment on column unified.event_metric_events.event_category is 'monitoring, validation, cache, error or dlq.';
comment on column unified.event_metric_events.source_system is 'The subsystem that reported it: websocket, supabase, cache, provider, …';
comment on column unified.event_metric_events.event_timestamp is 'When it happened; decides the partition and so the retention.';
comment on column unified.event_metric_events.created_at is 'When the row was first written.';
comment on column unified.event_metric_events.updated_at is
'When the row was last changed; set by a trigger where the statement leaves it as it was.';
comment on column unified.event_metric_events.event_data is 'The event itself, any JSON.';
comment on column unified.event_metric_events.event_metrics is 'Numbers that belong to the event, by name.';
comment on column unified.event_metric_events.event_metadata is
'Always {"version": "1.0", "schema": "standard", "fields": {…}}; beside fields only "wrapped": true (the metadata was not an object and stands in fields.value) and "legacy" (what the legacy row held and the columns cannot).';
comment on column unified.event_metric_events.severity is 'info, warning, error or critical.';
comment on column unified.event_metric_events.status is 'pending, success, failed or retry.';
comment on column unified.event_metric_events.priority is '0 low, 5 normal, 10 high.';
comment on column unified.event_metric_events.retry_count is 'How often it was tried again.';
comment on column unified.event_metric_events.max_retries is 'How often it may be tried again.';
comment on column unified.event_metric_events.resolved_at is 'When a failure was resolved; NULL while it is not.';
comment on column unified.event_metric_events.duration_ms is 'How long it took, in milliseconds; NULL where not measured.';
comment on column unified.event_metric_events.data_size_bytes is 'Size of the data it moved, in bytes; NULL where not measured.';
comment on column unified.event_metric_events.response_time_ms is 'Time to the answer, in milliseconds; NULL where not measured.';
comment on column unified.event_metric_events.correlation_id is 'Ties the events of one request together.';
comment on column unified.event_metric_events.user_id is 'The user it happened for.';
comment on column unified.event_metric_events.session_id is 'The session it happened in.';
comment on constraint event_metric_events_metadata_check on unified.event_metric_events is
'Holds event_metadata to its one shape without touching the row (D6).';
comment on policy "service role all" on unified.event_metric_events is 'For a service role without BYPASSRLS.';
