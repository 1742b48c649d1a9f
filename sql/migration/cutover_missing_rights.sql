-- Which of the declared rights on the target its roles do not have yet, and whether such a role exists.
-- params: target, schema, roles, privileges
select
    w.role,
    w.privilege,
    r.oid is not null as role_exists
from unnest(%(roles)s::text[], %(privileges)s::text[]) as w (role, privilege)
left join pg_catalog.pg_roles as r on w.role = r.rolname
where
    r.oid is null
    or case w.privilege
        when 'usage' then not has_schema_privilege(r.oid, %(schema)s::regnamespace, 'usage')
        else not exists (
            select from pg_catalog.pg_class as c cross join aclexplode(c.relacl) as g
            where c.oid = %(target)s::regclass and g.grantee = r.oid and lower(g.privilege_type) = w.privilege
        )
    end
order by 1, 2
