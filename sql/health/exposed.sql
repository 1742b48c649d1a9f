-- What the API reaches around row level security: partitions and partitioned tables without it, matviews, views of their owner.
-- A declared compatibility view whose grants equal those of its legacy table, or those that this had when it was retired, is as it
-- should be. Of another the rights that differ: `+role RIGHT` is too much, `-role RIGHT` is missing; none where it is not known what
-- the legacy table granted.
-- params: sources
select
    c.oid::regclass::text as relation,
    case
        when c.relkind = 'm' then 'matview'
        when c.relkind = 'v' then 'view'
        when c.relispartition then 'partition'
        else 'parent'
    end as kind,
    u.oid::regclass::text as parent,
    r.roles,
    coalesce(u.relrowsecurity, false) as has_secured_parent,
    s.facts is not null as is_compatibility_view,
    case when s.facts is null then '{{}}' else d.rights end as rights
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_inherits as h on c.oid = h.inhrelid and c.relispartition
left join pg_catalog.pg_class as u on h.inhparent = u.oid
left join jsonb_array_elements(%(sources)s::jsonb) as s (facts)
    on c.relkind = 'v' and n.nspname = s.facts ->> 'schema' and c.relname = s.facts ->> 'name'
left join pg_catalog.pg_class as a on n.oid = a.relnamespace and a.relname = s.facts ->> 'aside'
cross join lateral (select maintenance.api_roles_on(c.oid)) as r (roles)
cross join lateral (
    select
        coalesce(
            maintenance.grants_on(a.oid),
            (select max(o.retired_grants) from maintenance.source as o where o.relation = s.facts ->> 'relation')
        )
) as l (grants)
cross join lateral (
    select
        array(
            select distinct
                case when old.g is null then '+' else '-' end
                || quote_ident(substring(coalesce(new.g, old.g) from '^(.*) ')) || substring(coalesce(new.g, old.g) from ' [^ ]*$')
            from unnest(maintenance.grants_on(c.oid)) as new (g)
            full join unnest(l.grants) as old (g) on new.g = old.g
            where l.grants is not null and (new.g is null or old.g is null)
            order by 1
        )
) as d (rights)
where
    maintenance.is_own_schema(n.nspname)
    and (
        c.relkind = 'm'
        or (c.relkind = 'v' and not coalesce(c.reloptions && array['security_invoker=true', 'security_invoker=on'], false))
        or (not c.relrowsecurity and (c.relkind = 'p' or (c.relkind = 'r' and c.relispartition)))
    )
    and (r.roles <> '{{}}' or coalesce(u.relrowsecurity, false))
    and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
    and (
        s.facts is null
        or ((l.grants is null or d.rights <> '{{}}') and array_remove(r.roles, 'service_role') <> '{{}}')
    )
order by 1
