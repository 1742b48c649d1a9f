-- Every right that somebody beside the owner and superusers has on the parent, its partitions and the declared matviews.
-- Expected are: on the parent what the declaration grants, once cut over (anything, where no migration owns it); on a
-- partition nothing, unless its parent has no row-level security and half of its siblings grant the same; on a matview
-- nothing to an API role.
-- params: declared
with d as (
    select
        %(declared)s::jsonb as facts,
        maintenance.declared_relation(%(declared)s::jsonb -> 'target') as target_oid
),

relations as (
    select d.target_oid as oid, 'parent' as kind from d
    union all
    select p.relation_oid, 'partition' from d inner join maintenance.partition as p on d.target_oid = p.parent_oid
    union all
    select maintenance.declared_relation(m.facts), 'matview'
    from d cross join lateral jsonb_array_elements(d.facts -> 'matviews') as m (facts)
),

granted as (
    select
        r.kind,
        c.oid,
        n.nspname || '.' || c.relname as relation,
        case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee)::text end as grantee,
        lower(g.privilege_type) as privilege
    from relations as r
    inner join pg_catalog.pg_class as c on r.oid = c.oid
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    left join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attacl is not null and not a.attisdropped
    cross join lateral (
        select x.grantee, x.privilege_type from aclexplode(c.relacl) as x
        union
        select x.grantee, x.privilege_type || ' (' || a.attname || ')' from aclexplode(a.attacl) as x
    ) as g
    left join pg_catalog.pg_roles as o on g.grantee = o.oid
    where g.grantee <> c.relowner and not coalesce(o.rolsuper, false)
),

alike as (
    select g.grantee, g.privilege, count(*) as partitions
    from granted as g where g.kind = 'partition'
    group by g.grantee, g.privilege
)

select
    g.kind,
    g.relation,
    g.grantee,
    g.privilege,
    case g.kind
        when 'parent' then
            d.facts ->> 'governed_by' is null
            or (
                m.phase in ('cut_over', 'retired')
                and exists (
                    select from jsonb_to_recordset(d.facts -> 'grants') as w (role text, privilege text)
                    where w.role = g.grantee and w.privilege = g.privilege
                )
            )
        when 'partition' then
            not coalesce(t.relrowsecurity, true)
            and a.partitions * 2 >= (select count(*) from relations as r where r.kind = 'partition')
        else g.grantee not in ('public', 'anon', 'authenticated', 'service_role')
    end as is_expected
from granted as g
cross join d
left join pg_catalog.pg_class as t on d.target_oid = t.oid
left join maintenance.migration as m on d.facts ->> 'governed_by' = m.name
left join alike as a on g.grantee = a.grantee and g.privilege = a.privilege
order by g.kind, g.relation, g.grantee, g.privilege
