-- Invalid indexes that nobody is building at this moment, and the declared table that each belongs to.
-- params: tables
select
    i.indexrelid::regclass::text as index,
    i.indrelid::regclass::text as on_table,
    x.relkind = 'I' as is_partitioned,
    (
        select t.facts ->> 'relation'
        from jsonb_array_elements(%(tables)s::jsonb) as t (facts)
        where maintenance.declared_relation(t.facts) in (i.indrelid, h.inhparent)
        limit 1
    ) as declared_table
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_namespace as n on x.relnamespace = n.oid
left join pg_catalog.pg_inherits as h on i.indrelid = h.inhrelid
where
    not i.indisvalid and n.nspname !~ '^pg_temp'
    and not exists (select from pg_catalog.pg_stat_progress_create_index as b where i.indexrelid = b.index_relid)
order by 1
