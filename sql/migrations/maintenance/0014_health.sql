-- The health report's memory: a row of figures per run, and which findings are open since when (A5, A6).

create table maintenance.health (
    taken_at timestamptz primary key,
    database_bytes bigint not null,
    hit_ratio double precision,
    connections integer not null,
    runway_days double precision,
    partitions_due integer not null,
    quarantined bigint not null,
    stale_views integer not null,
    errors bigint,
    events bigint,
    critical integer not null,
    warnings integer not null
);
comment on table maintenance.health is 'Figures of each run of report_health, purged after the declared time; trends are drawn from them.';
comment on column maintenance.health.runway_days is 'The shortest runway of the declared tables; null where none is declared.';
comment on column maintenance.health.errors is 'Sum of the declared error view; null where none is declared or it was never filled.';

create table maintenance.finding (
    rule text not null,
    object text not null,
    level text not null check (level in ('critical', 'warning', 'info')),
    since timestamptz not null,
    told_at timestamptz not null,
    primary key (rule, object)
);
comment on table maintenance.finding is
'Findings that the newest health report had. Told (an event in Prefect) when it opens, when its level changes, and daily.';

-- Supabase's own schemas are linted and mended by Supabase; an extension's objects by whoever wrote it.
create function maintenance.is_own_schema(schema name) returns boolean
language sql immutable parallel safe
return schema !~ '^pg_' and schema <> all (array[
    'information_schema', 'maintenance', 'auth', 'storage', 'realtime', '_realtime', 'extensions', 'graphql', 'graphql_public', 'vault',
    'pgsodium', 'pgsodium_masks', 'pgbouncer', 'supabase_functions', 'supabase_migrations', 'cron', 'net', 'pgmq', '_analytics'
]::name[]);
comment on function maintenance.is_own_schema(name) is 'False for schemas of the server, of Supabase and of maintenance itself.';
revoke execute on function maintenance.is_own_schema(name) from public;

-- Who reaches a relation through the API: a role needs its schema and any right on it, granted to it or to everyone.
create function maintenance.api_roles_on(relation oid) returns text[]
language sql stable
set search_path = pg_catalog
begin atomic
    select coalesce(array_agg(r.name::text order by r.place), '{}')
    from unnest(array['public', 'anon', 'authenticated', 'service_role']::name[]) with ordinality as r (name, place)
    inner join pg_class as c on c.oid = relation
    where
        (r.name = 'public' or exists (select from pg_roles as o where o.rolname = r.name and not o.rolsuper))
        and has_schema_privilege(r.name, c.relnamespace, 'usage')
        and (has_any_column_privilege(r.name, c.oid, 'select, insert, update') or has_table_privilege(r.name, c.oid, 'delete'));
end;
comment on function maintenance.api_roles_on(oid) is 'Of public, anon, authenticated and service_role those that have a right on the relation.';
revoke execute on function maintenance.api_roles_on(oid) from public;
