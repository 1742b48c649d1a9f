-- Every index of a partitioned table and of its partitions. One that is attached is like its parent's: its definition, and its
-- key columns one by one with operator class, collation and order, are written out for the others alone (a second for thousands).
-- params: parent
with relations as (
    select p.relation_oid as oid from maintenance.partition as p where p.parent_oid = %(parent)s
    union all
    select %(parent)s
)

select
    i.indexrelid as oid,
    h.inhparent as parent_oid,
    i.indrelid = %(parent)s as is_on_parent,
    s.nspname as table_schema,
    o.relname as table_name,
    x.relname as name,
    i.indisvalid and i.indisready and i.indislive as is_valid,
    i.indislive as is_live,
    i.indisunique as is_unique,
    i.indisreplident as is_identity,
    exists (
        select from pg_catalog.pg_constraint as k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
    ) as is_key,
    m.amname as method,
    coalesce(pg_catalog.pg_stat_get_numscans(i.indexrelid), 0) as scans,
    case when x.relkind = 'i' then pg_catalog.pg_relation_size(i.indexrelid) else 0 end as size_bytes,
    (
        select b.pid from pg_catalog.pg_stat_progress_create_index as b where b.index_relid = i.indexrelid limit 1
    ) as builder,
    case when h.inhparent is null then maintenance.index_definition(i.indexrelid) end as definition,
    case when h.inhparent is null then pg_catalog.pg_get_expr(i.indpred, i.indrelid) end as predicate,
    case when h.inhparent is null then array(
        select concat_ws(
            ' ', pg_catalog.pg_get_indexdef(i.indexrelid, n.n, true), i.indclass[n.n - 1], i.indcollation[n.n - 1],
            i.indoption[n.n - 1]
        )
        from generate_series(1, i.indnkeyatts) as n (n)
        order by n.n
    ) end as key_columns,
    case when h.inhparent is null then array(
        select pg_catalog.pg_get_indexdef(i.indexrelid, n.n, true) from generate_series(i.indnkeyatts + 1, i.indnatts) as n (n)
        order by n.n
    ) end as included
from relations as r
inner join pg_catalog.pg_index as i on r.oid = i.indrelid
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join pg_catalog.pg_am as m on x.relam = m.oid
inner join pg_catalog.pg_class as o on r.oid = o.oid
inner join pg_catalog.pg_namespace as s on o.relnamespace = s.oid
left join pg_catalog.pg_inherits as h on i.indexrelid = h.inhrelid
order by i.indrelid <> %(parent)s, o.relname, x.relname
