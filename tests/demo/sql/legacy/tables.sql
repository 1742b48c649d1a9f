-- Create the five legacy tables with the columns, types, defaults and CHECKs that production has.
-- locks: ACCESS EXCLUSIVE on the new tables only
create schema monitoring;

create table monitoring.monitoring_events (
    id uuid primary key default gen_random_uuid(),
    event_type varchar(50) not null,
    timestamp timestamptz not null,
    source varchar(100) not null,
    data jsonb not null,
    metadata jsonb not null default '{{}}',
    created_at timestamptz
);

create table monitoring.validation_metrics (
    id bigserial primary key,
    event_type varchar(50) not null,
    total_events int not null,
    passed_events int not null,
    failed_events int not null,
    pass_rate float not null,
    avg_validation_time_ms float not null,
    total_errors int not null,
    total_warnings int not null,
    flush_timestamp timestamp without time zone not null,
    created_at timestamp without time zone not null,
    updated_at timestamp without time zone not null
);

create table monitoring.cache_metrics_monitoring (
    id uuid primary key default gen_random_uuid(),
    cache_key text not null,
    operation_type text not null check (operation_type in ('hit', 'miss', 'set', 'evict', 'error')),
    implementation_type text not null check (implementation_type in ('legacy', 'new')),
    response_time_ms int check (response_time_ms >= 0),
    cache_size int,
    error_type text,
    error_message text,
    metadata jsonb,
    timestamp timestamptz default now()
);

create table monitoring.events (
    id bigserial primary key,
    type text not null,
    data jsonb not null,
    timestamp timestamptz not null,
    created_at timestamptz not null
);

create table monitoring.dlq_table (
    id bigserial primary key,
    original_payload jsonb not null,
    failure_reason text,
    retry_count int default 0,
    max_retries int default 5,
    created_at timestamptz default now(),
    last_retry_at timestamptz,
    recovered_at timestamptz,
    status varchar(20) check (status in ('pending', 'retrying', 'recovered', 'failed')),
    check (retry_count <= max_retries)
);

create function monitoring.set_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end;
$$;

create trigger set_updated_at before update on monitoring.validation_metrics
for each row execute function monitoring.set_updated_at();
