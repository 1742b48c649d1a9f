-- Invalid indexes that nobody is building at this moment, and the declared table that each belongs to. A parent's index is invalid
-- until its last partition has it, so none of a table counts while a run holds that table's index lock (core/lock_holder).
-- params: tables
select
    i.indexrelid::regclass::text as index,
    i.indrelid::regclass::text as on_table,
    x.relkind = 'I' as is_partitioned,
    d.declared_table
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_namespace as n on x.relnamespace = n.oid
left join pg_catalog.pg_inherits as h on i.indrelid = h.inhrelid
left join lateral (
    select t.facts ->> 'relation' as declared_table
    from jsonb_array_elements(%(tables)s::jsonb) as t (facts)
    where maintenance.declared_relation(t.facts) in (i.indrelid, h.inhparent)
    limit 1
) as d on true
where
    not i.indisvalid and n.nspname !~ '^pg_temp'
    and not exists (select from pg_catalog.pg_stat_progress_create_index as b where i.indexrelid = b.index_relid)
    and not exists (
        select from pg_catalog.pg_locks as l
        where
            l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and l.objsubid = 1
            and l.database = (select b.oid from pg_catalog.pg_database as b where b.datname = current_database())
            and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('run:index:' || d.declared_table, 0)
    )
order by 1
