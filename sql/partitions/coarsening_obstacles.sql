-- What keeps a table's partitions from being replaced by a copy in a longer one, beside what keeps retention from removing them: a
-- foreign key to the whole table, which each of them has a part of, or one of the whole table, which ATTACH checks row by row while
-- everything is locked; a rule, a trigger, an index, a foreign key or a CHECK of its own, which the copy would not have; a merge
-- that is under way. A CHECK that says no more than the bounds do is none of its own: DETACH … CONCURRENTLY leaves one behind.
-- params: parents, parent_oids
with asked as (
    select t.parent, t.oid from unnest(%(parents)s::text[], %(parent_oids)s::oid[]) as t (parent, oid)
),

member as materialized (
    select a.parent, i.inhrelid as oid
    from asked as a
    inner join pg_catalog.pg_inherits as i on a.oid = i.inhparent
),

-- Looked up by the few tables, whatever the database holds; a foreign key to a partition alone is retention's obstacle already.
whole as materialized (
    select distinct d.objid as oid
    from asked as a
    cross join lateral (
        select d.objid
        from pg_catalog.pg_depend as d
        where
            d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = a.oid
            and d.classid = 'pg_catalog.pg_constraint'::regclass and d.deptype = 'n'
        offset 0
    ) as d
)

select m.oid, format('the foreign key %%s of %%s refers to it', k.conname, k.conrelid::regclass) as reason
from whole as w
inner join pg_catalog.pg_constraint as k on w.oid = k.conparentid and k.contype = 'f'
inner join member as m on k.confrelid = m.oid
union all
select m.oid, format('it has a rule of its own, %%s', w.rulename)
from member as m
inner join pg_catalog.pg_rewrite as w on m.oid = w.ev_class
union all
select m.oid, format('it has a trigger of its own, %%s', t.tgname)
from member as m
inner join pg_catalog.pg_trigger as t on m.oid = t.tgrelid and not t.tgisinternal and t.tgparentid = 0
where t.tgname not in ('maintenance_coarsening', 'maintenance_coarsening_truncate')
union all
select m.oid, format('it has an index of its own, %%s', x.relname)
from member as m
inner join pg_catalog.pg_index as i on m.oid = i.indrelid and i.indisvalid
inner join pg_catalog.pg_class as x on i.indexrelid = x.oid
inner join asked as a on m.parent = a.parent
where
    not exists (select from pg_catalog.pg_inherits as h where h.inhrelid = i.indexrelid)
    and not exists (
        select from pg_catalog.pg_index as o
        where o.indrelid = a.oid and maintenance.index_definition(o.indexrelid) = maintenance.index_definition(i.indexrelid)
    )
union all
select m.oid, format('it has a foreign key of its own, %%s', k.conname)
from member as m
inner join pg_catalog.pg_constraint as k on m.oid = k.conrelid and k.contype = 'f' and k.conparentid = 0
union all
select m.oid, format('it has a CHECK of its own, %%s', k.conname)
from member as m
inner join pg_catalog.pg_constraint as k on m.oid = k.conrelid and k.contype = 'c' and k.coninhcount = 0
where
    k.conname <> 'maintenance_bounds'
    and pg_catalog.pg_get_expr(k.conbin, k.conrelid) is distinct from pg_catalog.pg_get_partition_constraintdef(m.oid)
union all
select
    m.oid,
    format(
        'its table has a foreign key, %%s; attaching the copy would check every row while everything is locked', k.conname
    )
from member as m
inner join asked as a on m.parent = a.parent
inner join pg_catalog.pg_constraint as k on a.oid = k.conrelid and k.contype = 'f'
union all
select m.oid, 'it is being retired'
from member as m
inner join maintenance.retirement as r on m.oid = r.partition_oid and m.parent = r.parent
where r.state not in ('dropped', 'returned')
union all
select m.oid, format('the merge into %%s is under way', c.partition)
from maintenance.coarsening as c
inner join member as m on c.parent = m.parent and (m.oid = any(c.member_oids) or m.oid = c.partition_oid)
where c.state in ('watched', 'built', 'swapped')
