-- The plan's target as it stands in the master plan: its columns, its metadata trigger, its indexes, before any row.
-- Corrected only so that it can run: the partition key is part of the primary key, type and source hold 500 characters,
-- no index CONCURRENTLY (a partitioned table refuses it) and not twice on category and time.
-- locks: none that matter
create schema plan;

create table plan.event_metric_events (
    id uuid not null default gen_random_uuid(),
    event_type varchar(500) not null,
    event_category varchar(30) not null,
    source_system varchar(500) not null,
    event_timestamp timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    event_data jsonb not null default '{{}}',
    event_metrics jsonb not null default '{{}}',
    event_metadata jsonb not null default '{{}}',
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
    primary key (id, event_timestamp)
) partition by range (event_timestamp);

create index idx_event_metric_events_timestamp on plan.event_metric_events (event_timestamp desc);
create index idx_event_metric_events_type on plan.event_metric_events (event_type, event_timestamp desc);
create index idx_event_metric_events_category on plan.event_metric_events (event_category, event_timestamp desc);
create index idx_event_metric_events_source on plan.event_metric_events (source_system, event_timestamp desc);
create index idx_event_metric_events_severity on plan.event_metric_events (severity, event_timestamp desc);
create index idx_event_metric_events_fts
on plan.event_metric_events using gin (to_tsvector('english', event_type || ' ' || source_system));

create function plan.validate_metadata(metadata jsonb) returns jsonb as $$
begin
    if metadata ? 'version' then
        metadata := jsonb_set(metadata, '{{schema}}', '"standard"'::jsonb);
    else
        metadata := metadata || '{{"version": "1.0", "schema": "standard"}}'::jsonb;
    end if;
    return metadata;
end;
$$ language plpgsql;

create function plan.apply_metadata_validation() returns trigger as $$
begin
    new.event_data := plan.validate_metadata(new.event_data);
    new.event_metrics := plan.validate_metadata(new.event_metrics);
    new.event_metadata := plan.validate_metadata(new.event_metadata);
    new.updated_at := now();
    return new;
end;
$$ language plpgsql;

create trigger trigger_apply_metadata_validation
before insert or update on plan.event_metric_events
for each row execute function plan.apply_metadata_validation();

alter table plan.event_metric_events enable row level security;
create policy "service role all" on plan.event_metric_events to service_role using (true) with check (true);
create policy "authenticated read" on plan.event_metric_events for select to authenticated using (true);
