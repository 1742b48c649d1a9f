-- What keeps a table's partitions from being replaced by a copy in a longer one, beside what keeps retention from removing them: a
-- foreign key to the whole table, which each of them has a part of, a rule or a trigger of its own.
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
select m.oid, 'it is being retired'
from member as m
inner join maintenance.retirement as r on m.oid = r.partition_oid and m.parent = r.parent
where r.state not in ('dropped', 'returned')
