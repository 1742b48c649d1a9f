-- Rows and bytes of a refreshed view.
-- identifiers: matview
-- params: schema, name
select
    (select count(*) from {matview}) as rows_after,
    pg_total_relation_size(m.oid) as size_bytes
from pg_catalog.pg_class as m
inner join pg_catalog.pg_namespace as n on m.relnamespace = n.oid
where n.nspname = %(schema)s and m.relname = %(name)s
