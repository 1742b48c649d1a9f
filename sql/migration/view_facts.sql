-- What a view must know of the table whose name it takes: columns, key, CHECKs, policies; expressions as the server writes them.
-- params: relation_oid, key
with columns as (
    select
        a.attnum,
        a.attname,
        a.attnotnull,
        format_type(a.atttypid, a.atttypmod) as type,
        a.atttypid in ('json'::regtype, 'jsonb'::regtype) as is_json,
        a.atttypid = 'json'::regtype as is_text_json
    from pg_catalog.pg_attribute as a
    where a.attrelid = %(relation_oid)s and a.attnum > 0 and not a.attisdropped
),

listed as (
    select
        string_agg(quote_ident(c.attname), ', ' order by c.attnum) as names,
        string_agg(format('%%I %%s', c.attname, c.type), ', ' order by c.attnum) as typed,
        string_agg(format('v.%%I', c.attname), ', ' order by c.attnum) as of_view,
        string_agg(format('new.%%I', c.attname), ', ' order by c.attnum) as new_values,
        string_agg(format('old.%%I', c.attname), ', ' order by c.attnum) as old_values,
        string_agg(format('b.%%I::%%s', c.attname, c.type), ', ' order by c.attnum) as shown,
        string_agg(format('when ($1).%%I is null then %%L', c.attname, c.attname), ' ' order by c.attnum)
            filter (where c.attnotnull) as null_cases,
        string_agg(format('case when (mine.candidate).%%I is null then %%L end', c.attname, c.attname), ', ')
            filter (where c.is_json) as json_nulls,
        string_agg(format('%%L, (mine.candidate).%%I::text', c.attname, c.attname), ', ') filter (where c.is_text_json) as json_texts
    from columns as c
),

checks as (
    select string_agg(
        format('when not (%%s) then %%L', pg_get_expr(k.conbin, k.conrelid), k.conname), ' ' order by k.conname
    ) as cases
    from pg_catalog.pg_constraint as k
    where
        k.conrelid = %(relation_oid)s and k.contype = 'c'
        and coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
),

policies as (
    select
        p.polcmd,
        case r.role when 0 then 'public' else pg_get_userbyid(r.role) end::text as role_name
    from pg_catalog.pg_policy as p
    cross join unnest(p.polroles) as r (role)
    where
        p.polrelid = %(relation_oid)s and p.polpermissive and p.polcmd in ('*', 'r')
        and pg_get_expr(p.polqual, p.polrelid) = 'true' and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
)

select
    n.nspname::text as schema,
    c.relname::text as name,
    pg_get_userbyid(c.relowner)::text as owner,
    c.relrowsecurity as has_rls,
    obj_description(c.oid, 'pg_class') as comment,
    listed.names,
    listed.typed,
    listed.of_view,
    listed.new_values,
    listed.old_values,
    listed.shown,
    coalesce('case ' || listed.null_cases || ' end', 'null') as null_column,
    coalesce('case ' || checks.cases || ' end', 'null') as broken_check,
    format(
        '(to_jsonb(mine.candidate) - array_remove(array[%%s]::text[], null)) || jsonb_strip_nulls(jsonb_build_object(%%s))',
        listed.json_nulls, listed.json_texts
    ) as as_json,
    (
        select k.conname::text from pg_catalog.pg_constraint as k where k.conrelid = c.oid and k.contype = 'p'
    ) as key_constraint,
    key.attidentity <> '' as is_identity,
    coalesce(
        pg_get_expr(e.adbin, e.adrelid),
        format('nextval(%%L::regclass)', case when key.attidentity <> '' then s.name end)
    ) as key_default,
    s.name as sequence,
    s.sequence_schema,
    s.sequence_name,
    array(
        select p.role_name from policies as p
        union
        select pg_get_userbyid(c.relowner)
    )::text[] as readers,
    array(
        select p.role_name from policies as p where p.polcmd = '*'
        union
        select pg_get_userbyid(c.relowner)
    )::text[] as writers,
    c.relrowsecurity and exists (
        select
        from (
            select g.grantee, g.privilege_type from aclexplode(c.relacl) as g
            union all
            select g.grantee, g.privilege_type
            from pg_catalog.pg_attribute as a cross join aclexplode(a.attacl) as g
            where a.attrelid = c.oid
        ) as g
        where g.privilege_type = 'SELECT' and g.grantee <> c.relowner and not exists (
            select from policies as p
            left join pg_catalog.pg_roles as r on p.role_name = r.rolname
            where p.role_name = 'public' or (g.grantee <> 0 and pg_has_role(g.grantee, r.oid, 'usage'))
        )
    ) as hides_rows
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as key on c.oid = key.attrelid and key.attname = %(key)s
left join pg_catalog.pg_attrdef as e on key.attrelid = e.adrelid and key.attnum = e.adnum
left join lateral (
    select d.objid::regclass::text as name, m.nspname::text as sequence_schema, q.relname::text as sequence_name
    from pg_catalog.pg_depend as d
    inner join pg_catalog.pg_class as q on d.objid = q.oid and q.relkind = 'S'
    inner join pg_catalog.pg_namespace as m on q.relnamespace = m.oid
    where
        d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
        and d.refobjid = c.oid and d.refobjsubid = key.attnum and d.deptype in ('a', 'i')
    limit 1
) as s on true
cross join listed
cross join checks
where c.oid = %(relation_oid)s
