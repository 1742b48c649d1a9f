-- What the catalog says of a detached partition, by its recorded oid: name, attachment, size.
-- params: oid
select
    n.nspname as schema,
    c.relname as name,
    c.relkind = 'r' as is_ordinary,
    exists (select from pg_catalog.pg_inherits as i where i.inhrelid = c.oid) as is_attached,
    pg_catalog.pg_table_size(c.oid) as size_bytes
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.oid = %(oid)s
