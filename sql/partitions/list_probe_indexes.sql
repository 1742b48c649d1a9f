-- Definitions of the probe's indexes as the server writes them.
-- params: schema, name
select x.relname as name, maintenance.index_definition(i.indexrelid) as definition
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_class as c on i.indrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s
