-- What partitions have and their parent has not, so that a new partition will lack it: indexes, foreign keys and triggers that
-- somebody made on the partitions one by one. Our own watches, unfinished builds and the default partition are left out.
-- params: parent
with leaves as materialized (
    select p.relation_oid as oid
    from maintenance.partition as p
    where p.parent_oid = %(parent)s and p.is_leaf and not p.is_default and not p.is_pending_detach
),

found as (
    select
        coalesce(
            (
                select pg_catalog.pg_get_constraintdef(k.oid)
                from pg_catalog.pg_constraint as k
                where k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x')
            ),
            'index ' || maintenance.index_definition(i.indexrelid)
        ) as what
    from leaves as l
    inner join pg_catalog.pg_index as i on l.oid = i.indrelid
    where
        i.indisvalid
        and not exists (select from pg_catalog.pg_inherits as h where h.inhrelid = i.indexrelid)
        and not exists (
            select from pg_catalog.pg_index as o
            where o.indrelid = %(parent)s and maintenance.index_definition(o.indexrelid) = maintenance.index_definition(i.indexrelid)
        )
    union all
    select pg_catalog.pg_get_constraintdef(k.oid)
    from leaves as l
    inner join pg_catalog.pg_constraint as k on l.oid = k.conrelid
    where
        k.contype = 'f' and k.conparentid = 0
        and not exists (
            select from pg_catalog.pg_constraint as o
            where
                o.conrelid = %(parent)s and o.contype = 'f'
                and pg_catalog.pg_get_constraintdef(o.oid) = pg_catalog.pg_get_constraintdef(k.oid)
        )
    union all
    select 'trigger ' || t.tgname
    from leaves as l
    inner join pg_catalog.pg_trigger as t on l.oid = t.tgrelid
    where not t.tgisinternal and t.tgparentid = 0 and not starts_with(t.tgname, 'maintenance_')
)

select
    f.what,
    count(*) as partitions
from found as f
group by f.what
order by f.what
