-- Writing through the old names after cutover, capture in the other direction, and what the way back needs (M3, M4, M6).

create table maintenance.cutover (
    migration text primary key references maintenance.migration,
    cut_over_at timestamptz not null default clock_timestamp(),
    setting_before text,
    granted jsonb not null default '[]',
    dependants jsonb not null default '[]',
    drained bigint not null,
    locked_ms integer
);
comment on table maintenance.cutover is
'What stood before the cutover in force, so that roll_back restores exactly that; gone again after it.';
comment on column maintenance.cutover.granted is 'Rights on the target that the cutover gave: role and privilege.';
comment on column maintenance.cutover.dependants is 'Views and functions that were pointed from the legacy tables to the views.';
comment on column maintenance.cutover.locked_ms is
'From the first legacy lock to the record of this row, the last statement before the commit.';

-- No sequence: an application may ask lastval() after its INSERT. The order of entries is for oldest first alone.
create table maintenance.reverse_capture (
    migration text not null,
    key text not null,
    event_time timestamptz not null,
    logged_at timestamptz not null default clock_timestamp()
);
create index reverse_capture_logged_at on maintenance.reverse_capture (migration, logged_at);
create index reverse_capture_event_time on maintenance.reverse_capture (migration, event_time);
comment on table maintenance.reverse_capture is
'Target rows that changed since cutover, by key and event time, old and new; emptied by carrying back (design 5).';

create table maintenance.carry_back (
    id bigint generated always as identity primary key,
    migration text not null references maintenance.migration,
    target_key text not null,
    event_time timestamptz not null,
    source_id integer,
    legacy_key text,
    reason text,
    target_row jsonb not null,
    carried_at timestamptz not null default clock_timestamp(),
    unique (migration, target_key, event_time),
    check (reason is not null or (source_id is not null and legacy_key is not null))
);
create unique index carry_back_legacy_key on maintenance.carry_back (source_id, legacy_key) where legacy_key is not null;
comment on table maintenance.carry_back is
'Target rows that their legacy table cannot hold exactly, kept whole; with a reason those that no legacy table takes (M6).';

create unlogged table maintenance.id_claim (
    source_id integer not null,
    key text not null,
    primary key (source_id, key)
);
comment on table maintenance.id_claim is
'Always empty for whoever looks: an explicit id is inserted and deleted here, so that two inserts of one id take turns.';

create function maintenance.claim_id(source_id integer, key text) returns void
language plpgsql set search_path = '' as $$
begin
    insert into maintenance.id_claim values (claim_id.source_id, claim_id.key);
    delete from maintenance.id_claim as c where c.source_id = claim_id.source_id and c.key = claim_id.key;
end;
$$;
revoke execute on function maintenance.claim_id(integer, text) from public;
comment on function maintenance.claim_id(integer, text) is
'Waits for a transaction that claims the same id, and makes the next one wait; takes no lock of the server''s lock table.';

create function maintenance.refuse_target_truncate() returns trigger
language plpgsql set search_path = '' as $$
begin
    raise exception 'TRUNCATE of %.% is refused while its changes are carried back', tg_table_schema, tg_table_name
    using errcode = 'feature_not_supported',
        hint = 'Use DELETE, or enforce_retention for whole partitions.';
end;
$$;
revoke execute on function maintenance.refuse_target_truncate() from public;
comment on function maintenance.refuse_target_truncate() is 'Trigger function: a TRUNCATE names no rows, so it could not be carried back.';

-- Policies of a legacy table, asked with the rights of whoever uses the view under its name.
create function maintenance.has_any_role(roles text[]) returns boolean
language plpgsql stable set search_path = '' as $$
begin
    return 'public' = any (roles) or exists (
        select from pg_roles as r
        where
            (r.rolname = any (roles) and pg_has_role(r.oid, 'usage'))
            or (r.rolname = current_user and (r.rolsuper or r.rolbypassrls))
    );
end;
$$;
grant execute on function maintenance.has_any_role(text[]) to public;
comment on function maintenance.has_any_role(text[]) is
'Whether the current role has one of these or passes row-level security anyway.';

create function maintenance.copy_grants(giver regclass, taker regclass) returns void
language plpgsql set search_path = '' as $$
declare
    held record;
begin
    for held in
        select g.grantee from pg_class as c, aclexplode(c.relacl) as g
        where c.oid = taker and g.grantee <> c.relowner group by g.grantee
    loop
        execute format('revoke all on %s from %s', taker, case held.grantee when 0 then 'public' else held.grantee::regrole::text end);
    end loop;
    for held in
        select
            lower(g.privilege_type) as privilege,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end as grantee,
            case when g.is_grantable then ' with grant option' else '' end as option,
            g.on_columns
        from (
            select g.*, '' as on_columns from pg_class as c, aclexplode(c.relacl) as g where c.oid = giver and g.grantee <> c.relowner
            union all
            select g.*, format(' (%I)', a.attname) from pg_class as c, pg_attribute as a, aclexplode(a.attacl) as g
            where c.oid = giver and a.attrelid = giver and not a.attisdropped and g.grantee <> c.relowner
        ) as g
    loop
        execute format('grant %s%s on %s to %s%s', held.privilege, held.on_columns, taker, held.grantee, held.option);
    end loop;
end;
$$;
comment on function maintenance.copy_grants(regclass, regclass) is
'Give one relation the rights of another, whatever default privileges have given it.';

create function maintenance.copy_defaults(giver regclass, taker regclass, but name) returns void
language plpgsql set search_path = '' as $$
declare
    held record;
begin
    for held in
        select a.attname as name, pg_get_expr(d.adbin, d.adrelid) as expression
        from pg_attribute as a inner join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
        where a.attrelid = giver and a.attname <> but and a.attgenerated = ''
    loop
        execute format('alter view %s alter column %I set default %s', taker, held.name, held.expression);
    end loop;
end;
$$;
comment on function maintenance.copy_defaults(regclass, regclass, name) is
'Give a view the column defaults of a table, except for one column: its key, which the view''s trigger gives.';

create function maintenance.close_functions(names text[]) returns void
language plpgsql set search_path = '' as $$
declare
    held record;
begin
    for held in
        select p.oid::regprocedure as function, case g.grantee when 0 then 'public' else g.grantee::regrole::text end as grantee
        from pg_proc as p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
        where p.pronamespace = 'maintenance'::regnamespace and p.proname = any (names) and g.grantee <> p.proowner
    loop
        execute format('revoke all on function %s from %s', held.function, held.grantee);
    end loop;
end;
$$;
comment on function maintenance.close_functions(text[]) is
'Take EXECUTE on functions of maintenance from everyone but their owner, whatever default privileges have given.';

create function maintenance.drop_functions(names text[]) returns void
language plpgsql set search_path = '' as $$
declare
    held record;
begin
    for held in
        select p.oid::regprocedure as function from pg_proc as p
        where p.pronamespace = 'maintenance'::regnamespace and p.proname = any (names)
    loop
        execute format('drop function %s', held.function);
    end loop;
end;
$$;
comment on function maintenance.drop_functions(text[]) is 'Drop functions of maintenance that were made for one migration.';

create function maintenance.has_equality(type_oid oid) returns boolean
language sql stable set search_path = '' as $$
    select exists (
        select
        from pg_opclass as o
        inner join pg_am as m on o.opcmethod = m.oid and m.amname in ('btree', 'hash')
        inner join pg_type as t on t.oid = type_oid
        where
            o.opcdefault
            and (o.opcintype = coalesce(nullif(t.typbasetype, 0), t.oid) or t.typcategory in ('A', 'E', 'R', 'S'))
    )
$$;
comment on function maintenance.has_equality(oid) is
'Whether values of a type can be compared; json and point cannot, and are compared by their text.';
