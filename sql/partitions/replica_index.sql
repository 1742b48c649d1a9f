-- The partition's own index below one of its parent's.
-- params: index, schema, name
select x.relname::text as name
from pg_catalog.pg_inherits as h
inner join pg_catalog.pg_index as i on h.inhrelid = i.indexrelid
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_class as c on i.indrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where h.inhparent = %(index)s and n.nspname = %(schema)s and c.relname = %(name)s
