-- What stands under an old name, and whether the legacy table is where the cutover has put it.
-- params: schema, name, aside, relation_oid
select
    v.oid as view_oid,
    coalesce(v.relkind = 'v', false) as is_view,
    exists (
        select from pg_catalog.pg_class as c where c.oid = %(relation_oid)s and c.relname = %(aside)s
    ) as is_aside
from (select 1 as one) as always
left join (
    select c.oid, c.relkind
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = %(schema)s and c.relname = %(name)s
) as v on true
