-- Which of these names a schema has already: relations and types share one name space for CREATE TABLE.
-- params: schema, names
select c.relname::text as name
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = any(%(names)s::text[])
union
select t.typname::text as name
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on t.typnamespace = n.oid
where n.nspname = %(schema)s and t.typname = any(%(names)s::text[])
