-- The partitions of tables and those that retention has detached from them, with what the catalog says of each now.
-- Who references one is found by its dependencies: nothing else leads from a table to foreign keys without reading them all. They
-- are looked up one by one, as a plan that reads everybody's would take longer the more there is in the database.
-- params: parents, parent_oids
with asked as (
    select t.parent, t.oid from unnest(%(parents)s::text[], %(parent_oids)s::oid[]) as t (parent, oid)
),

found as materialized (
    select a.parent, b.*
    from (
        select p.* from maintenance.partition as p where p.parent_oid = any(%(parent_oids)s::oid[])
        offset 0
    ) as b
    inner join asked as a on b.parent_oid = a.oid
),

-- What refers to another table depends on it normally; a table's own constraints and indexes, which are many, do not.
referring as materialized (
    select distinct d.refobjid as oid, d.classid, d.objid
    from pg_catalog.pg_depend as d
    where
        d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = any(array(select f.relation_oid from found as f))
        and d.deptype = 'n' and d.classid in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_constraint'::regclass)
),

needed as (
    select
        f.relation_oid as oid,
        1 as place,
        format('the publication %%I names it; take it out of there first', b.pubname) as reason
    from found as f
    inner join pg_catalog.pg_publication_rel as y on f.relation_oid = y.prrelid
    inner join pg_catalog.pg_publication as b on y.prpubid = b.oid
    union all
    select r.oid, 2 as place, format('%%s reads it by its name; let that read the table instead', w.ev_class::regclass) as reason
    from referring as r
    inner join pg_catalog.pg_rewrite as w on r.objid = w.oid and r.oid <> w.ev_class
    where r.classid = 'pg_catalog.pg_rewrite'::regclass
    union all
    select
        r.oid,
        3 as place,
        format('the foreign key %%I of %%s references it by its name; drop that first', k.conname, k.conrelid::regclass) as reason
    from referring as r
    inner join pg_catalog.pg_constraint as k on r.objid = k.oid and r.oid = k.confrelid
    where r.classid = 'pg_catalog.pg_constraint'::regclass and k.contype = 'f' and k.conparentid = 0
),

first_needed as (
    select distinct on (n.oid) n.oid, n.reason from needed as n order by n.oid, n.place, n.reason
)

select
    coalesce(p.parent, r.parent) as parent,
    coalesce(p.schema || '.' || p.name, r.partition) as name,
    coalesce(p.relation_oid, r.partition_oid) as oid,
    coalesce(p.lower, r.lower) as lower,
    coalesce(p.upper, r.upper) as upper,
    coalesce(p.is_default, false) as is_default,
    -- A foreign table's server may be away, and a name with a dot cannot be told apart in the records.
    strpos(p.schema || p.name, '.') > 0
    or not p.is_leaf and exists (select from pg_catalog.pg_class as g where g.oid = p.relation_oid and g.relkind = 'f') as is_unread,
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
        -- Detached, it could be neither archived nor dropped nor attached again.
        when not pg_catalog.pg_has_role(w.relowner, 'usage')
            then format(
                'it belongs to %%s; give it to the owner of its table with: alter table %%s owner to %%s',
                w.relowner::regrole,
                w.oid::regclass,
                (select g.relowner::regrole from pg_catalog.pg_class as g where g.oid = a.oid)
            )
        when p.relation_oid is not null then coalesce(q.reason, '')
        when c.oid is null then 'its table is gone'
        when n.nspname || '.' || c.relname <> r.partition
            then format('its table is called %%s.%%s now; give it back its name', n.nspname, c.relname)
        when c.relkind <> 'r' then 'it is partitioned itself or a foreign table; remove it by hand'
        when i.inhparent is not null then format('its table is a partition of %%s now', i.inhparent::regclass)
        else ''
    end as obstacle
from found as p
full join (
    select o.* from maintenance.retirement as o
    where o.parent = any(%(parents)s::text[]) and o.state not in ('dropped', 'returned')
) as r on p.relation_oid = r.partition_oid and p.parent = r.parent
left join first_needed as q on p.relation_oid = q.oid
left join asked as a on coalesce(p.parent, r.parent) = a.parent
left join lateral (
    select g.oid, g.relowner from pg_catalog.pg_class as g where g.oid = coalesce(p.relation_oid, r.partition_oid)
    offset 0
) as w on true
left join pg_catalog.pg_class as c on r.partition_oid = c.oid
left join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_inherits as i on c.oid = i.inhrelid
order by lower nulls first, name
