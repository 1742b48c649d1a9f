-- The columns of a relation that the server computes itself: nothing is inserted into them.
-- params: schema, name
select a.attname::text as name
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
where n.nspname = %(schema)s and c.relname = %(name)s and a.attnum > 0 and not a.attisdropped and a.attgenerated <> ''
