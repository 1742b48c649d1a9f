-- Policies that let everyone do something: no role named, and a condition that is always true.
select
    p.polrelid::regclass::text as relation,
    quote_ident(p.polname) as policy,
    case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end as command,
    array_remove(maintenance.api_roles_on(p.polrelid), 'service_role') as roles
from pg_catalog.pg_policy as p
inner join pg_catalog.pg_class as c on p.polrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    p.polpermissive and 0 = any(p.polroles) and maintenance.is_own_schema(n.nspname)
    and coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'
    and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
order by 1, 2
