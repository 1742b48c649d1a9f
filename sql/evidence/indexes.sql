-- The primary key and every declared index: on the parent, valid, and on how many partitions it is missing.
-- params: declared
with d as (
    select maintenance.declared_relation(%(declared)s::jsonb -> 'target') as target_oid, %(declared)s::jsonb as facts
),

wanted as (
    select w.name, w.build, 'declared' as origin
    from d cross join lateral jsonb_to_recordset(d.facts -> 'indexes') as w (name text, build text)
    where w.build <> 'off'
    union all
    select x.relname, 'before_attach', 'primary key'
    from d
    inner join pg_catalog.pg_index as i on d.target_oid = i.indrelid and i.indisprimary
    inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
),

leaves as (
    select p.relation_oid, n.nspname || '.' || c.relname as name
    from d
    inner join maintenance.partition as p on d.target_oid = p.parent_oid and not p.is_pending_detach
    inner join pg_catalog.pg_class as c on p.relation_oid = c.oid
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
)

select
    w.name as index,
    w.origin,
    w.build,
    x.oid is not null as exists,
    coalesce(i.indisvalid, false) as is_valid,
    (select count(*) from leaves) as partitions,
    l.lacking,
    l.first_lacking,
    x.oid is not null and coalesce(i.indisvalid, false) and l.lacking = 0 as is_complete,
    w.build = 'after_load' or (x.oid is not null and coalesce(i.indisvalid, false) and l.lacking = 0) as is_complete_where_due
from d
cross join wanted as w
left join pg_catalog.pg_index as i on d.target_oid = i.indrelid and exists (
    select from pg_catalog.pg_class as o where o.oid = i.indexrelid and o.relname = w.name
)
left join pg_catalog.pg_class as x on i.indexrelid = x.oid
cross join lateral (
    select count(*) as lacking, (array_agg(f.name order by f.name))[1] as first_lacking
    from leaves as f
    where not exists (
        select
        from pg_catalog.pg_inherits as h
        inner join pg_catalog.pg_index as o on h.inhrelid = o.indexrelid
        where h.inhparent = x.oid and o.indrelid = f.relation_oid and o.indisvalid
    )
) as l
order by w.origin desc, w.name
