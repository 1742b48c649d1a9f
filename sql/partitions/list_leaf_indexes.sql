-- The partitions that lack an index of their parent, with the indexes of each that are like it and attached to nothing. One that
-- serves a constraint fits only below a constraint of that kind.
-- Definitions are written out for those few alone: for every index of every partition they would take a second.
-- params: parent, index, partition
with wanted as materialized (
    select
        maintenance.index_definition(%(index)s) as definition,
        (select k.contype from pg_catalog.pg_constraint as k where k.conindid = %(index)s and k.contype in ('p', 'u', 'x')) as key
),

loose as materialized (
    select i.indrelid, i.indexrelid, i.indisvalid, k.oid is not null as has_constraint
    from pg_catalog.pg_inherits as p
    inner join pg_catalog.pg_index as i on p.inhrelid = i.indrelid
    left join pg_catalog.pg_constraint as k
        on i.indexrelid = k.conindid and i.indrelid = k.conrelid and k.contype in ('p', 'u', 'x')
    where
        p.inhparent = %(parent)s
        and not exists (select from pg_catalog.pg_inherits as h where h.inhrelid = i.indexrelid)
        and (k.oid is null or k.contype = (select w.key from wanted as w))
)

select
    p.relation_oid as oid,
    p.schema,
    p.name,
    p.is_leaf,
    coalesce(jsonb_agg(jsonb_build_object(
        'name', x.relname,
        'is_valid', i.indisvalid,
        'has_constraint', i.has_constraint,
        'builder', (select b.pid from pg_catalog.pg_stat_progress_create_index as b where b.index_relid = i.indexrelid limit 1)
    )) filter (where x.oid is not null), '[]') as candidates
from maintenance.partition as p
left join loose as i
    on
        p.relation_oid = i.indrelid
        and maintenance.index_definition(i.indexrelid) = (select w.definition from wanted as w)
left join pg_catalog.pg_class as x on i.indexrelid = x.oid
where
    p.parent_oid = %(parent)s and not p.is_pending_detach
    and p.name = coalesce(%(partition)s, p.name)
    and not exists (
        select
        from pg_catalog.pg_inherits as h
        inner join pg_catalog.pg_index as o on h.inhrelid = o.indexrelid
        where h.inhparent = %(index)s and o.indrelid = p.relation_oid
    )
group by p.relation_oid, p.schema, p.name, p.is_leaf, p.lower
order by p.lower nulls last, p.name
