-- Make the API roles as Supabase makes them, where they are absent.
-- locks: none on relations
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
        create role authenticated nologin noinherit;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
        create role service_role nologin noinherit bypassrls;
    end if;
exception when duplicate_object or unique_violation then
    raise exception 'another session creates these roles at this moment; run it again' using errcode = '40001';
end $$;
