-- The columns of a table that an INSERT may name, quoted, in order: all but those that the server computes itself.
-- params: schema, name
select string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
where n.nspname = %(schema)s and c.relname = %(name)s and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
