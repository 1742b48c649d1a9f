-- What keeps a partition from being replaced by a copy in a longer one: who refers to it, publishes it or acts on its rows.
-- params: parent, parent_oid
with member as (
    select p.relation_oid as oid, p.schema || '.' || p.name as name
    from maintenance.partition as p
    where p.parent_oid = %(parent_oid)s
)

select distinct m.name, format('the foreign key %%s of %%s refers to it', k.conname, k.conrelid::regclass) as reason
from member as m
inner join pg_catalog.pg_depend as d on m.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
inner join pg_catalog.pg_constraint as k on m.oid = k.confrelid and d.objid = k.oid and k.contype = 'f'
where d.classid = 'pg_constraint'::regclass
union all
select m.name, format('the publication %%s names it', p.pubname)
from member as m
inner join pg_catalog.pg_publication_rel as r on m.oid = r.prrelid
inner join pg_catalog.pg_publication as p on r.prpubid = p.oid
union all
select distinct m.name, format('the view %%s reads it by itself', w.ev_class::regclass)
from member as m
inner join pg_catalog.pg_depend as d on m.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
inner join pg_catalog.pg_rewrite as w on d.objid = w.oid and d.classid = 'pg_rewrite'::regclass
union all
select m.name, format('it has a trigger of its own, %%s', t.tgname)
from member as m
inner join pg_catalog.pg_trigger as t on m.oid = t.tgrelid and not t.tgisinternal and t.tgparentid = 0
where t.tgname not in ('maintenance_coarsening', 'maintenance_coarsening_truncate')
union all
select m.name, 'it is being retired'
from member as m
inner join maintenance.retirement as r on m.oid = r.partition_oid and r.parent = %(parent)s
where r.state not in ('dropped', 'returned')
