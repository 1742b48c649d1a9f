-- Names in a schema that a new partition could collide with: relations and types share one name space for CREATE TABLE.
-- params: schema, prefix
select c.relname::text as name
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and starts_with(c.relname, %(prefix)s)
union
select t.typname::text as name
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on t.typnamespace = n.oid
where n.nspname = %(schema)s and starts_with(t.typname, %(prefix)s)
