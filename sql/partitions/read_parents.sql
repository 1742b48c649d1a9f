-- What partitioned tables are: key, type of key, owner, security; one row for each relation of these names that exists.
-- params: schemas, names
select
    n.nspname::text as schema,
    c.relname::text as name,
    c.oid,
    c.relkind::text as kind,
    p.partstrat::text as strategy,
    p.partnatts as columns,
    a.attname::text as key,
    a.atttypid::regtype::text as key_type,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    c.relowner = current_user::regrole as is_owned_by_session,
    pg_catalog.pg_has_role(c.relowner, 'usage') as may_own,
    current_user::text as role_name,
    c.relrowsecurity as has_rls,
    coalesce(p.partdefid <> 0, false) as has_default
from unnest(%(schemas)s::text[], %(names)s::text[]) as t (schema, name)
inner join pg_catalog.pg_namespace as n on t.schema = n.nspname
inner join pg_catalog.pg_class as c on n.oid = c.relnamespace and t.name = c.relname
left join pg_catalog.pg_partitioned_table as p on c.oid = p.partrelid
left join pg_catalog.pg_attribute as a on c.oid = a.attrelid and p.partattrs[0] = a.attnum and p.partnatts = 1
