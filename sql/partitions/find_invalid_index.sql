-- One row where an index is invalid, or half dropped, and attached to nothing: the rest of an interrupted build.
-- params: schema, name
select i.indexrelid as oid
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_namespace as n on x.relnamespace = n.oid
where
    n.nspname = %(schema)s and x.relname = %(name)s
    and not (i.indisvalid and i.indisready and i.indislive)
    and not x.relispartition
    and x.relkind = 'i'
