-- Policies of a legacy table that a view cannot follow: neither "everything for these roles" nor "these roles may read".
-- params: relation_oid
select p.polname::text as name
from pg_catalog.pg_policy as p
where
    p.polrelid = %(relation_oid)s
    and not (
        p.polpermissive and p.polcmd in ('*', 'r') and pg_get_expr(p.polqual, p.polrelid) = 'true'
        and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
    )
order by 1
