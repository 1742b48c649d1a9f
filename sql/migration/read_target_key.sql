-- The columns of a partitioned table's primary key beside its partition key, with their types.
-- params: schema, name, time
select a.attname::text as name, a.atttypid::regtype::text as type
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_index as i on c.oid = i.indrelid and i.indisprimary
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attnum = any(i.indkey)
where n.nspname = %(schema)s and c.relname = %(name)s and a.attname <> %(time)s
order by a.attnum
