-- Sessions that outlive the process which serves them (D9, D11, D12). Read and written through tasks/upkeep/sessions.py.
do $$
begin
    if to_regclass('public.sessions') is not null then
        raise exception 'public.sessions exists already and was not made by these migrations; rename it aside and apply again, then copy its rows over'
        using errcode = 'duplicate_table';
    end if;
end $$;

create table public.sessions (
    id uuid not null default gen_random_uuid(),
    session_id varchar(255) not null,
    session_data jsonb not null default '{}',
    session_state varchar(50) not null default 'active',
    version bigint not null default 1,
    user_id varchar(100),
    user_type varchar(50),
    ip_address inet,
    user_agent text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    last_activity_at timestamptz not null default now(),
    expires_at timestamptz,
    request_count integer not null default 0,
    total_duration_ms bigint not null default 0,
    metadata jsonb not null default '{"version": "1.0", "schema": "standard", "fields": {}}',
    constraint sessions_pkey primary key (id),
    constraint sessions_session_id_key unique (session_id),
    constraint sessions_session_id_check check (session_id <> ''),
    constraint sessions_data_check check (jsonb_typeof(session_data) = 'object'),
    constraint sessions_state_check check (session_state in ('active', 'inactive', 'expired')),
    constraint sessions_version_check check (version > 0),
    constraint sessions_user_type_check check (user_type in ('human', 'agent', 'system')),
    constraint sessions_times_check check (isfinite(last_activity_at) and isfinite(expires_at)),
    constraint sessions_expired_check check (session_state <> 'expired' or expires_at is not null),
    constraint sessions_counts_check check (request_count >= 0 and total_duration_ms >= 0),
    -- The one shape of unified.event_metric_events (D6).
    constraint sessions_metadata_check check (
        metadata = '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
        or (
            metadata @> '{"version": "1.0", "schema": "standard", "fields": {}}'::jsonb
            and coalesce(metadata -> 'wrapped' = 'true'::jsonb, true)
            and coalesce(jsonb_typeof(metadata -> 'legacy') = 'object', true)
            and metadata - '{version,schema,fields,wrapped,legacy}'::text[] = '{}'::jsonb
        )
    )
);

-- Each serves one question of expire_sessions, or the policy: a row stands in one of the first three alone.
create index sessions_overdue on public.sessions (expires_at) where session_state <> 'expired' and expires_at is not null;
create index sessions_idle on public.sessions (last_activity_at) where expires_at is null;
create index sessions_expired on public.sessions (expires_at) where session_state = 'expired';
create index sessions_user on public.sessions (user_id) where user_id is not null;

create trigger set_updated_at before update on public.sessions
for each row
when (
    new.updated_at is not distinct from old.updated_at
    and current_setting('maintenance.keep_updated_at', true) is distinct from 'on'
)
execute function unified.set_updated_at();

alter table public.sessions enable row level security;
create policy "service role all" on public.sessions to service_role using (true) with check (true);
create policy "authenticated read own" on public.sessions for select to authenticated
using (user_id = (select auth.uid())::text);

-- Supabase's default privileges have granted everything to all three.
revoke all on public.sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.sessions to service_role;
grant select on public.sessions to authenticated;

comment on table public.sessions is
'Sessions of the application, saved so that a restart loses none; expired and purged by the flow expire_sessions.';
comment on column public.sessions.id is 'The row; sessions are known by session_id.';
comment on column public.sessions.session_id is 'The session, as the application names it; 1 to 255 characters.';
comment on column public.sessions.session_data is 'What the session holds; a JSON object.';
comment on column public.sessions.session_state is 'active, inactive or expired; an expired session is never used again, only purged.';
comment on column public.sessions.version is 'Rises by one with each save; a save that names another version is stale and changes nothing.';
comment on column public.sessions.user_id is 'Whose session it is; who signs in under this id may read it. NULL: the service role alone.';
comment on column public.sessions.user_type is 'human, agent or system; NULL where not known.';
comment on column public.sessions.ip_address is 'Where its requests come from.';
comment on column public.sessions.user_agent is 'With what its requests are made.';
comment on column public.sessions.created_at is 'When it began.';
comment on column public.sessions.updated_at is
'When the row was last changed; set by a trigger where the statement leaves it as it was.';
comment on column public.sessions.last_activity_at is 'When it was last saved or touched.';
comment on column public.sessions.expires_at is
'When it ends, whatever it does until then. NULL: it ends once it was idle for as long as maintenance.yaml says; then this becomes that moment.';
comment on column public.sessions.request_count is 'Requests so far, one for each touch.';
comment on column public.sessions.total_duration_ms is 'What its requests took together, in milliseconds.';
comment on column public.sessions.metadata is
'Always {"version": "1.0", "schema": "standard", "fields": {…}}, as in unified.event_metric_events.';
comment on constraint sessions_metadata_check on public.sessions is 'Holds metadata to its one shape (D6).';
comment on constraint sessions_expired_check on public.sessions is 'The age of an expired session is counted from expires_at.';
comment on trigger set_updated_at on public.sessions is
'Sets updated_at where the statement did not, unless maintenance.keep_updated_at is on.';
comment on policy "service role all" on public.sessions is 'For a service role without BYPASSRLS.';
comment on policy "authenticated read own" on public.sessions is 'Who is signed in sees the sessions of that user, and changes none.';
comment on index public.sessions_overdue is 'Sessions whose expires_at may have passed.';
comment on index public.sessions_idle is 'Sessions that end by idleness.';
comment on index public.sessions_expired is 'Sessions that wait to be purged.';
comment on index public.sessions_user is 'The sessions of one user; the policy asks for them.';
