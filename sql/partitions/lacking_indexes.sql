-- The keys and indexes of a partitioned table that a detached partition lacks, as the text that builds each.
-- params: parent, oid
select
    pg_catalog.pg_get_constraintdef(k.oid) as constraint_definition,
    case when i.indisunique then 'unique index' else 'index' end as kind,
    regexp_replace(maintenance.index_definition(i.indexrelid), '^unique ', '') as definition
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
left join pg_catalog.pg_constraint as k on i.indexrelid = k.conindid and i.indrelid = k.conrelid and k.contype in ('p', 'u', 'x')
where
    i.indrelid = %(parent)s and not exists (
        select
        from pg_catalog.pg_index as o
        left join pg_catalog.pg_constraint as c on o.indexrelid = c.conindid and o.indrelid = c.conrelid
        where
            o.indrelid = %(oid)s and o.indisvalid and (k.oid is null or c.contype = k.contype)
            and maintenance.index_definition(o.indexrelid) = maintenance.index_definition(i.indexrelid)
    )
order by k.contype = 'p' desc nulls last, k.contype is null, x.relname
