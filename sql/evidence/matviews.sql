-- The declared materialized views: whether each can be refreshed concurrently, is filled, and is closed to API roles (D7, D8).
-- params: declared
select
    m.facts ->> 'relation' as matview,
    c.oid is not null as exists,
    coalesce(c.relkind = 'm', false) as is_matview,
    coalesce(pg_has_role(c.relowner, 'usage'), false) as is_owned,
    coalesce(c.relispopulated, false) as is_filled,
    exists (
        select from pg_catalog.pg_index as i
        where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
    ) as has_unique_index,
    (
        select string_agg(distinct case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee)::text end, ', ')
        from aclexplode(c.relacl) as g
        left join pg_catalog.pg_roles as r on g.grantee = r.oid
        where g.grantee <> c.relowner and (g.grantee = 0 or r.rolname in ('anon', 'authenticated', 'service_role'))
    ) as granted_to,
    r.refreshed_at,
    coalesce(
        (%(declared)s::jsonb ->> 'as_of')::timestamptz - r.refreshed_at
        <= make_interval(secs => (m.facts ->> 'stale_after_s')::double precision),
        false
    ) as is_fresh
from jsonb_array_elements(%(declared)s::jsonb -> 'matviews') with ordinality as m (facts, place)
left join pg_catalog.pg_class as c on maintenance.declared_relation(m.facts) = c.oid
left join lateral (
    select max(n.refreshed_at) as refreshed_at
    from maintenance.matview_refresh as n
    where n.matview = m.facts ->> 'relation' and n.error is null
) as r on true
order by m.place
