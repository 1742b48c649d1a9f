-- What a legacy table granted when it was retired: the view under its name is held against it from then on (D13, M5).

-- Rights on a relation that are not its owner's, one a line of role and privilege.
create function maintenance.grants_on(relation oid) returns text[]
language sql stable
set search_path = pg_catalog
begin atomic
    select
        array(
            select format('%s %s', case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee) end, g.privilege_type)
            from aclexplode(c.relacl) as g
            where g.grantee <> c.relowner
            order by 1
        )
    from pg_class as c
    where c.oid = relation;
end;
comment on function maintenance.grants_on(oid) is 'Rights on a relation that are not its owner''s, as role and privilege; null where there is none.';
revoke execute on function maintenance.grants_on(oid) from public;

alter table maintenance.source add column retired_grants text[];
comment on column maintenance.source.retired_grants is 'What the legacy table granted when it was retired, as maintenance.grants_on gives it.';

-- Of tables that are gone already their views alone are left.
update maintenance.source as s set retired_grants = maintenance.grants_on(c.oid)
from maintenance.migration as m, pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid
where s.migration = m.name and m.phase = 'retired' and s.relation = format('%s.%s', n.nspname, c.relname);
