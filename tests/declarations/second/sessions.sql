-- Only what the declaration's text asks for, under names and types of its own: no id, no checks, a text key.
create schema desk;
create table desk.logins (
    session_id text primary key,
    session_data jsonb not null,
    session_state text not null default 'active',
    version bigint not null default 1,
    user_id text,
    last_activity_at timestamptz not null default now(),
    expires_at timestamptz,
    request_count integer not null default 0,
    total_duration_ms bigint not null default 0
);
