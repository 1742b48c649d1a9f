-- What keeps partitions from being replaced by a copy in a longer one: who refers to one, publishes it or acts on its rows.
-- params: parents, oids
with member as materialized (
    select a.parent, a.oid from unnest(%(parents)s::text[], %(oids)s::oid[]) as a (parent, oid)
),

-- What refers to another table depends on it normally; its own constraints, which are many, do not.
referring as materialized (
    select distinct m.oid, d.classid, d.objid
    from member as m
    inner join pg_catalog.pg_depend as d on m.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
    where
        d.classid = 'pg_catalog.pg_rewrite'::regclass
        or (d.classid = 'pg_catalog.pg_constraint'::regclass and d.deptype = 'n')
)

select r.oid, format('the foreign key %%s of %%s refers to it', k.conname, k.conrelid::regclass) as reason
from referring as r
inner join pg_catalog.pg_constraint as k on r.oid = k.confrelid and r.objid = k.oid and k.contype = 'f'
where r.classid = 'pg_catalog.pg_constraint'::regclass
union all
select m.oid, format('the publication %%s names it', p.pubname)
from member as m
inner join pg_catalog.pg_publication_rel as r on m.oid = r.prrelid
inner join pg_catalog.pg_publication as p on r.prpubid = p.oid
union all
select r.oid, format('the view %%s reads it by itself', w.ev_class::regclass)
from referring as r
inner join pg_catalog.pg_rewrite as w on r.objid = w.oid
where r.classid = 'pg_catalog.pg_rewrite'::regclass
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
