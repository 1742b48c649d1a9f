-- What a partitioned table is: key, type of key, owner, security; one row where any relation of that name exists.
-- params: schema, name
select
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
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_partitioned_table as p on c.oid = p.partrelid
left join pg_catalog.pg_attribute as a on c.oid = a.attrelid and p.partattrs[0] = a.attnum and p.partnatts = 1
where n.nspname = %(schema)s and c.relname = %(name)s
