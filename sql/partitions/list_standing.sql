-- Ordinary tables beside a partitioned one that may have been its partitions: those that have its columns and no others, and those
-- that retention has detached and not dropped, with their bounds. A plain DETACH leaves no other trace. Those of other names than
-- are to be made are looked for where there is a hole: that reads all that the schema has.
-- params: parent, table, names, has_hole
with beside as (
    select c.oid
    from pg_catalog.pg_class as c
    where c.relname = any(%(names)s::text[])
    union
    select r.partition_oid from maintenance.retirement as r where r.parent = %(table)s and r.state not in ('dropped', 'returned')
    union
    select c.oid from pg_catalog.pg_class as c where %(has_hole)s and c.relkind = 'r' and not c.relispartition
    union
    select %(parent)s::oid
),

columns as (
    select
        c.oid,
        array(
            select format('%%I %%s', a.attname, a.atttypid)
            from pg_catalog.pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            order by a.attname
        ) as list
    from beside as b
    inner join pg_catalog.pg_class as c on b.oid = c.oid
    inner join pg_catalog.pg_class as parent on c.relnamespace = parent.relnamespace
    where parent.oid = %(parent)s and (c.oid = parent.oid or (c.relkind = 'r' and not c.relispartition))
)

select
    n.nspname::text as schema,
    c.relname::text as name,
    c.relname = any(%(names)s::text[]) as is_named,
    pg_catalog.pg_has_role(c.relowner, 'usage') as is_readable,
    r.lower,
    r.upper
from columns as wanted
inner join columns as found on wanted.oid <> found.oid
inner join pg_catalog.pg_class as c on found.oid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join maintenance.retirement as r
    on c.oid = r.partition_oid and r.parent = %(table)s and r.state not in ('dropped', 'returned')
where wanted.oid = %(parent)s and (wanted.list = found.list or r.id is not null)
order by c.relname
