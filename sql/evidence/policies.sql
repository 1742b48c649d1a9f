-- Every policy of the sources, the parent and its partitions. Expected are: on a source the two standard ones (a role may do
-- all, a role may read) or a declared one; on the parent any that names its roles; on a partition none, where the parent
-- has row-level security.
-- params: declared
with d as (
    select
        %(declared)s::jsonb as facts,
        maintenance.declared_relation(%(declared)s::jsonb -> 'target') as target_oid
),

relations as (
    select s.relation_oid as oid, 'source' as kind, s.facts -> 'policies' as declared
    from d cross join lateral maintenance.declared_sources(d.facts) as s
    union all
    select d.target_oid, 'parent', '[]' from d
    union all
    select p.relation_oid, 'partition', '[]' from d inner join maintenance.partition as p on d.target_oid = p.parent_oid
)

select
    r.kind,
    n.nspname || '.' || c.relname as relation,
    p.polname::text as policy,
    case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end as command,
    x.roles,
    pg_get_expr(p.polqual, p.polrelid) as using_expression,
    pg_get_expr(p.polwithcheck, p.polrelid) as check_expression,
    case r.kind
        when 'source' then
            r.declared ? p.polname::text
            or coalesce(
                p.polpermissive and p.polcmd in ('*', 'r') and pg_get_expr(p.polqual, p.polrelid) = 'true'
                and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true',
                false
            )
        when 'parent' then not 0 = any(p.polroles)
        else not coalesce(t.relrowsecurity, true)
    end as is_expected
from relations as r
inner join pg_catalog.pg_class as c on r.oid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_policy as p on c.oid = p.polrelid
cross join d
left join pg_catalog.pg_class as t on d.target_oid = t.oid
cross join lateral (
    select string_agg(case u.role when 0 then 'public' else pg_get_userbyid(u.role)::text end, ', ' order by 1) as roles
    from unnest(p.polroles) as u (role)
) as x
order by r.kind, relation, policy
