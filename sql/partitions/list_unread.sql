-- The partitions of a table that are not read to judge a clock by: foreign tables, whose server may be away, and names with a dot.
-- params: parent_oid
select n.nspname || '.' || c.relname as name
from pg_catalog.pg_inherits as i
inner join pg_catalog.pg_class as c on i.inhrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where i.inhparent = %(parent_oid)s and (c.relkind = 'f' or strpos(n.nspname || c.relname, '.') > 0)
