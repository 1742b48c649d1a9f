-- Columns of a relation in their order: name, quoted name, type with its modifier.
-- params: schema, name
select
    a.attname as name,
    pg_catalog.quote_ident(a.attname) as quoted,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as type
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
where n.nspname = %(schema)s and c.relname = %(name)s and a.attnum > 0 and not a.attisdropped
order by a.attnum
