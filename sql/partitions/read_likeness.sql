-- What a new partition takes over that LIKE does not copy: from the parent, and from its newest partition where it has one.
-- Names and definitions come back quoted, as SQL. Grants and policies matter only where the parent has no row-level security.
-- params: parent
with newest as (
    select
        c.oid,
        c.relowner,
        c.relacl,
        c.reloptions,
        t.reloptions as toast_options,
        c.relrowsecurity,
        c.relforcerowsecurity,
        c.relreplident
    from maintenance.partition as p
    inner join pg_catalog.pg_class as c on p.relation_oid = c.oid
    left join pg_catalog.pg_class as t on c.reltoastrelid = t.oid
    where p.parent_oid = %(parent)s and p.is_leaf and not p.is_default and not p.is_pending_detach
    order by p.upper desc nulls first
    limit 1
),

options as (
    select string_agg(format('%%s%%I=%%L', o.prefix, split_part(o.option, '=', 1), split_part(o.option, '=', 2)), ', ') as list
    from (
        select '' as prefix, unnest(newest.reloptions) as option from newest
        union all
        select 'toast.' as prefix, unnest(newest.toast_options) as option from newest
    ) as o
),

grants as (
    select
        g.grantee,
        g.is_grantable,
        string_agg(lower(g.privilege_type), ', ' order by g.privilege_type) as privileges
    from newest, aclexplode(newest.relacl) as g
    where g.grantee <> newest.relowner
    group by g.grantee, g.is_grantable
),

policies as (
    select
        quote_ident(p.polname) as name,
        concat_ws(
            ' ',
            'as', case when p.polpermissive then 'permissive' else 'restrictive' end,
            'for',
            case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
            'to',
            (
                select string_agg(case r.role when 0 then 'public' else r.role::regrole::text end, ', ')
                from unnest(p.polroles) as r (role)
            ),
            'using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
            'with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')'
        ) as definition
    from newest
    inner join pg_catalog.pg_policy as p on newest.oid = p.polrelid
)

select
    parent.relrowsecurity or not exists (select from newest) as is_closed,
    coalesce((select newest.relrowsecurity from newest), true) as has_rls,
    coalesce((select newest.relforcerowsecurity from newest), false) as is_rls_forced,
    obj_description(parent.oid, 'pg_class') as comment,
    concat_ws(' ', 'with (' || options.list || ')', 'tablespace ' || quote_ident(s.spcname)) as storage,
    case coalesce((select newest.relreplident from newest), parent.relreplident)
        when 'f' then 'full' when 'n' then 'nothing'
    end as replica_identity,
    case coalesce((select newest.relreplident from newest), parent.relreplident) when 'i' then coalesce(
        (
            select i.inhparent
            from newest
            inner join pg_catalog.pg_index as x on newest.oid = x.indrelid and x.indisreplident
            inner join pg_catalog.pg_inherits as i on x.indexrelid = i.inhrelid
        ),
        (select x.indexrelid from pg_catalog.pg_index as x where x.indrelid = parent.oid and x.indisreplident)
    ) end as replica_index,
    array(
        select distinct g.grantee::regrole::text
        from pg_catalog.pg_default_acl as d, aclexplode(d.defaclacl) as g
        where
            d.defaclobjtype = 'r' and d.defaclrole = current_user::regrole
            and d.defaclnamespace in (0, parent.relnamespace) and g.grantee not in (0, d.defaclrole)
    ) as revoke_from,
    coalesce((
        select jsonb_agg(jsonb_build_array(
            g.privileges,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end
            || case when g.is_grantable then ' with grant option' else '' end
        ))
        from grants as g
    ), '[]') as grants,
    coalesce((select jsonb_agg(jsonb_build_array(p.name, p.definition)) from policies as p), '[]') as policies
from pg_catalog.pg_class as parent
cross join options
left join pg_catalog.pg_tablespace as s on parent.reltablespace = s.oid
where parent.oid = %(parent)s
