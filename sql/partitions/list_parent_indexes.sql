-- The keys and indexes of a partitioned table, as the text that builds each on another table with the same columns.
-- params: parent
select
    i.indexrelid as oid,
    n.nspname as schema,
    x.relname as name,
    i.indisvalid as is_valid,
    pg_catalog.pg_get_constraintdef(k.oid) as constraint_definition,
    case when i.indisunique then 'unique index' else 'index' end as kind,
    maintenance.index_definition(i.indexrelid) as full_definition,
    regexp_replace(maintenance.index_definition(i.indexrelid), '^unique ', '') as definition
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_namespace as n on x.relnamespace = n.oid
left join pg_catalog.pg_constraint as k on i.indexrelid = k.conindid and i.indrelid = k.conrelid and k.contype in ('p', 'u', 'x')
where i.indrelid = %(parent)s
order by k.contype = 'p' desc nulls last, k.contype is null, x.relname
