-- One materialized view: filled or not, refreshable concurrently or not, who may refresh it, and its last success.
-- params: schema, name
select
    m.relispopulated as is_populated,
    pg_get_userbyid(m.relowner)::text as owner,
    pg_has_role(m.relowner, 'usage') as is_owner,
    exists (
        select 1
        from pg_catalog.pg_index as i
        where
            i.indrelid = m.oid and i.indisunique and i.indisvalid and i.indisready
            and i.indpred is null and i.indexprs is null
    ) as has_unique_index,
    (
        select max(r.refreshed_at)
        from maintenance.matview_refresh as r
        where r.matview = %(schema)s || '.' || %(name)s and r.error is null
    ) as last_refreshed_at
from pg_catalog.pg_class as m
inner join pg_catalog.pg_namespace as n on m.relnamespace = n.oid
where n.nspname = %(schema)s and m.relname = %(name)s and m.relkind = 'm'
