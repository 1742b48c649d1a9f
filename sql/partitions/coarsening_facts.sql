-- What is known of one coarsening: whether anything changed in its members since they are watched, whether its copy is still
-- there and frozen (so that a snapshot older than the copy sees its rows too) and has every index that the parent has now, and
-- which members still are the tables recorded, and whether all of them are partitions of the parent still.
-- params: id, parent_oid
select
    exists (select from maintenance.coarsening_change as h where h.coarsening_id = c.id) as is_changed,
    coalesce(age(t.relfrozenxid) < age(c.built_xid::xid), false) as is_frozen,
    t.oid is not null as is_there,
    not exists (
        select
        from pg_catalog.pg_index as i
        where
            i.indrelid = %(parent_oid)s and not exists (
                select
                from pg_catalog.pg_index as o
                where
                    o.indrelid = t.oid
                    and maintenance.index_definition(o.indexrelid) = maintenance.index_definition(i.indexrelid)
            )
    ) as is_indexed,
    not exists (
        select
        from unnest(c.member_oids) as m (oid)
        left join pg_catalog.pg_inherits as h
            on m.oid = h.inhrelid and h.inhparent = %(parent_oid)s and not h.inhdetachpending
        where h.inhrelid is null
    ) as is_attached,
    array(
        select m.name
        from unnest(c.members, c.member_oids) with ordinality as m (name, oid, place)
        inner join pg_catalog.pg_class as r on m.oid = r.oid
        inner join pg_catalog.pg_namespace as s on r.relnamespace = s.oid
        where s.nspname || '.' || r.relname = m.name
        order by m.place
    ) as present
from maintenance.coarsening as c
left join (
    pg_catalog.pg_class as t inner join pg_catalog.pg_namespace as n on t.relnamespace = n.oid
) on c.partition_oid = t.oid and c.partition = n.nspname || '.' || t.relname
where c.id = %(id)s
