-- What failed REINDEX CONCURRENTLY left on a partition: invalid copies that answer no query and cost every write.
-- params: schema, name
select x.relname as name
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_class as c on i.indrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname = %(schema)s and c.relname = %(name)s
    and not i.indisvalid and not x.relispartition and x.relname ~ '_cc(new|old)[0-9]*$'
order by x.relname
