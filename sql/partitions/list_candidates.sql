-- The partitions of a table and those that retention has detached from it, with what the catalog says of each now.
-- Who references it is found by its dependencies: nothing else leads from a table to foreign keys without reading them all.
-- params: parent, parent_oid
select
    coalesce(p.schema || '.' || p.name, r.partition) as name,
    coalesce(p.relation_oid, r.partition_oid) as oid,
    coalesce(p.lower, r.lower) as lower,
    coalesce(p.upper, r.upper) as upper,
    coalesce(p.is_default, false) as is_default,
    case
        when p.is_pending_detach then 'pending'
        when p.relation_oid is not null then 'attached'
        when r.state in ('due', 'detaching') then 'detached'
        else r.state
    end as state,
    r.id as retirement_id,
    coalesce(r.archived_at, r.detached_at) as since,
    case
        when p.relation_oid is not null and not p.is_default and not p.is_leaf
            then 'it is partitioned itself or a foreign table; remove it by hand'
        when strpos(p.schema || p.name, '.') > 0
            then 'its name has a dot, which stands between schema and name in the records; rename it'
        when p.relation_oid is not null then coalesce(
            (
                select format('the publication %%I names it; take it out of there first', b.pubname)
                from pg_catalog.pg_publication_rel as y
                inner join pg_catalog.pg_publication as b on y.prpubid = b.oid
                where y.prrelid = p.relation_oid
                order by b.pubname
                limit 1
            ),
            (
                select format('%%s reads it by its name; let that read the table instead', w.ev_class::regclass)
                from pg_catalog.pg_depend as d
                inner join pg_catalog.pg_rewrite as w on d.objid = w.oid
                where
                    d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
                    and d.refobjid = p.relation_oid and w.ev_class <> p.relation_oid
                order by w.ev_class
                limit 1
            ),
            (
                select format('the foreign key %%I of %%s references it by its name; drop that first', k.conname, k.conrelid::regclass)
                from pg_catalog.pg_depend as d
                inner join pg_catalog.pg_constraint as k on d.objid = k.oid
                where
                    d.classid = 'pg_catalog.pg_constraint'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
                    and d.refobjid = p.relation_oid
                    and k.contype = 'f' and k.confrelid = p.relation_oid and k.conparentid = 0
                order by k.conname
                limit 1
            ),
            ''
        )
        when c.oid is null then 'its table is gone'
        when n.nspname || '.' || c.relname <> r.partition
            then format('its table is called %%s.%%s now; give it back its name', n.nspname, c.relname)
        when c.relkind <> 'r' then 'it is partitioned itself or a foreign table; remove it by hand'
        when i.inhparent is not null then format('its table is a partition of %%s now', i.inhparent::regclass)
        else ''
    end as obstacle
from (
    select b.* from maintenance.partition as b where b.parent_oid = %(parent_oid)s
) as p
full join (
    select o.* from maintenance.retirement as o where o.parent = %(parent)s and o.state not in ('dropped', 'returned')
) as r on p.relation_oid = r.partition_oid
left join pg_catalog.pg_class as c on r.partition_oid = c.oid
left join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_inherits as i on c.oid = i.inhrelid
order by lower nulls first, name
