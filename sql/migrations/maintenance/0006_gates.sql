-- Comparisons of every row and what they found (M7); the state that evidence was taken in (M8).

create table maintenance.comparison (
    id bigint generated always as identity primary key,
    migration text not null references maintenance.migration,
    run_id bigint,
    snapshot_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    mapping_version text not null,
    generation integer not null,
    is_partial boolean not null,
    sessions integer not null,
    units integer not null,
    legacy_rows bigint not null,
    rows_compared bigint not null,
    quarantined bigint not null,
    in_flight bigint not null,
    differing bigint not null,
    kinds jsonb not null default '{}',
    seconds double precision not null
);
create index comparison_newest on maintenance.comparison (migration, id desc) where not is_partial;
comment on table maintenance.comparison is
'A finished comparison of both sides in one snapshot. A partial one looked at some units again and is no evidence.';
comment on column maintenance.comparison.in_flight is
'Keys in the capture log of the same snapshot: left out on both sides, their change is still to be applied (design 7).';

create table maintenance.comparison_day (
    comparison_id bigint not null references maintenance.comparison on delete cascade,
    source_id integer not null,
    lower timestamptz,
    upper timestamptz,
    legacy_rows bigint not null,
    legacy_kept bigint not null,
    legacy_hash text not null,
    refused bigint not null,
    collided bigint not null,
    unquarantined bigint not null,
    in_flight bigint not null,
    unified_rows bigint not null,
    unified_hash text not null,
    unique nulls not distinct (comparison_id, source_id, lower)
);
comment on table maintenance.comparison_day is
'Both sides of one source in one unit, half-open; bounds are null for rows whose time lies in no partition. '
'Hashes are sums of the rows'' hashes, comparable within one server version only.';

create table maintenance.comparison_difference (
    id bigint generated always as identity primary key,
    comparison_id bigint not null references maintenance.comparison on delete cascade,
    source_id integer,
    lower timestamptz,
    kind text not null check (
        kind in ('missing', 'extra', 'unequal', 'doubled', 'unnamed', 'unowned', 'unquarantined', 'stale', 'released')
    ),
    key text,
    target_key text,
    event_time timestamptz,
    reason text,
    expected jsonb,
    found jsonb
);
create index comparison_difference_comparison on maintenance.comparison_difference (comparison_id);
comment on table maintenance.comparison_difference is
'Rows that differ, with both values; the first of each kind only, maintenance.comparison.kinds has the true numbers.';
comment on column maintenance.comparison_difference.kind is
'missing, extra, unequal, doubled: mapped legacy row against target row. unnamed: sums differ, no row found. unowned: a target row of no source. '
'unquarantined: refused by the mapping but not so in quarantine. stale: in quarantine without cause. '
'released: its collision is over, the winner has gone.';

-- Refused rows are looked up by key; the health report and the gates count by source and reason.
create index quarantine_reason on maintenance.quarantine (source_id, reason);

alter table maintenance.evidence
add column fingerprint text,
add column mapping_version text,
add column generation integer;
comment on column maintenance.evidence.fingerprint is
'Hash over sources, parent, its indexes, policies and grants at that moment; not over which partitions exist (design 8).';

-- A row of megabytes would be kept a thousand times.
create function maintenance.bounded_json(value jsonb) returns jsonb
language sql immutable parallel safe
return case
    when octet_length(value::text) <= 20000 then value
    when jsonb_typeof(value) <> 'object' then to_jsonb(left(value::text, 2000) || '…')
    else (
        select jsonb_object_agg(
            m.key,
            case
                when octet_length(m.value::text) <= 500 then m.value
                else to_jsonb(left(m.value::text, 400) || '… (' || length(m.value::text) || ' characters)')
            end
        )
        from jsonb_each(value) as m
    )
end;
comment on function maintenance.bounded_json(jsonb) is 'A row as JSON; past 20 kB its long values are cut, for people to read.';
revoke execute on function maintenance.bounded_json(jsonb) from public;

-- Evidence is asked for what is declared: names in the declaration, tables by oid where the ledger knows them, since a
-- cutover gives their names to views.
create function maintenance.declared_relation(declared jsonb) returns oid
language sql stable
set search_path = pg_catalog
begin atomic
    select c.oid
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = declared ->> 'schema' and c.relname = declared ->> 'name';
end;
comment on function maintenance.declared_relation(jsonb) is 'The relation of a declared schema and name; NULL where it does not exist.';

create function maintenance.declared_sources(declared jsonb)
returns table (place integer, relation text, relation_oid oid, source_id integer, facts jsonb)
language sql stable
set search_path = pg_catalog
begin atomic
    select
        s.place::integer,
        s.facts ->> 'relation',
        coalesce(r.relation_oid, maintenance.declared_relation(s.facts)),
        r.id,
        s.facts
    from jsonb_array_elements(declared -> 'sources') with ordinality as s (facts, place)
    left join maintenance.source as r on r.migration = declared ->> 'migration' and r.relation = s.facts ->> 'relation';
end;
comment on function maintenance.declared_sources(jsonb) is 'The declared legacy tables in order, as the same tables through renames.';

-- What a verdict is bound to: it changes with columns, indexes, policies and grants of the parent and the sources, not with
-- which partitions exist, nor with the maintenance triggers, whose generation is counted apart.
create function maintenance.schema_fingerprint(declared jsonb) returns text
language sql stable
set search_path = pg_catalog
begin atomic
    with relations as (
        select maintenance.declared_relation(declared -> 'target') as relation_oid, 'target' as label
        union all
        select s.relation_oid, s.relation from maintenance.declared_sources(declared) as s
    ),
    facts as (
        select r.label, 'relation' as kind, concat_ws(' ', c.oid, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity) as fact
        from relations as r left join pg_class as c on c.oid = r.relation_oid
        union all
        select r.label, 'column', concat_ws(
            ' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity, a.attacl
        )
        from relations as r inner join pg_attribute as a on a.attrelid = r.relation_oid and a.attnum > 0 and not a.attisdropped
        union all
        select r.label, 'index', pg_get_indexdef(i.indexrelid)
        from relations as r inner join pg_index as i on i.indrelid = r.relation_oid
        union all
        select r.label, 'constraint', k.conname || ' ' || pg_get_constraintdef(k.oid)
        from relations as r inner join pg_constraint as k on k.conrelid = r.relation_oid
        union all
        select r.label, 'policy', concat_ws(
            ' ', p.polname, p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid),
            'check', pg_get_expr(p.polwithcheck, p.polrelid)
        )
        from relations as r inner join pg_policy as p on p.polrelid = r.relation_oid
        union all
        select r.label, 'grant', concat_ws(' ', g.grantee, g.privilege_type, g.is_grantable)
        from relations as r
        inner join pg_class as c on c.oid = r.relation_oid
        cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as g
    )
    select encode(sha256(convert_to(
        coalesce(string_agg(concat_ws(E'\t', f.label, f.kind, f.fact), E'\n' order by f.label, f.kind, f.fact), ''), 'UTF8'
    )), 'hex')
    from facts as f;
end;
comment on function maintenance.schema_fingerprint(jsonb) is
'Hash over sources, parent, their columns, indexes, constraints, policies and grants (design 8).';
