-- Supabase's API roles and the functions that policies call, created only where they are absent (D8).
-- On Supabase itself all of them exist and nothing is done.
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (
            values
            ('anon', 'nologin noinherit'),
            ('authenticated', 'nologin noinherit'),
            ('service_role', 'nologin noinherit bypassrls')
        ) as roles (name, attributes)
        where not exists (select from pg_roles where rolname = roles.name)
    loop
        begin
            execute format('create role %I %s', wanted.name, wanted.attributes);
        exception
            -- Two databases of one cluster may be migrated at once; roles belong to the cluster.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role % is missing and % may not create it', wanted.name, current_user
                using errcode = 'insufficient_privilege',
                    hint = format('As a superuser run: create role %I %s', wanted.name, wanted.attributes);
        end;
    end loop;
end $$;

do $$
begin
    if not exists (select from pg_namespace where nspname = 'auth') then
        create schema auth;
        grant usage on schema auth to anon, authenticated, service_role;
    end if;
end $$;

-- Looked up in pg_proc: to_regprocedure would raise where this role has no USAGE on Supabase's schema.
do $$
begin
    if not exists (
        select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'auth' and p.proname = 'jwt' and p.pronargs = 0
    ) then
        create function auth.jwt() returns jsonb language sql stable parallel safe
        return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
        comment on function auth.jwt() is 'The claims of the request, as PostgREST sets them.';
    end if;
    if not exists (
        select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'auth' and p.proname = 'role' and p.pronargs = 0
    ) then
        create function auth.role() returns text language sql stable parallel safe
        return coalesce(
            nullif(current_setting('request.jwt.claim.role', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
        );
        comment on function auth.role() is 'The role that the request''s token claims.';
    end if;
    if not exists (
        select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0
    ) then
        create function auth.uid() returns uuid language sql stable parallel safe
        return coalesce(
            nullif(current_setting('request.jwt.claim.sub', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
        )::uuid;
        comment on function auth.uid() is 'The user that the request''s token names.';
    end if;
end $$;
