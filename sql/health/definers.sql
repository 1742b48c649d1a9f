-- Functions that run with their owner's rights and take the caller's search_path.
select p.oid::regprocedure::text as function, pg_get_userbyid(p.proowner)::text as owner
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
where
    p.prosecdef and (n.nspname = 'maintenance' or maintenance.is_own_schema(n.nspname))
    and not exists (select from unnest(p.proconfig) as s (setting) where s.setting like 'search_path=%')
    and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
order by 1
