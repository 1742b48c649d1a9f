-- Which materialized views read which others, through any number of plain views (D7: refreshed in this order).
with recursive reads (reader, read_oid) as (
    select r.ev_class, d.refobjid
    from pg_catalog.pg_rewrite as r
    inner join pg_catalog.pg_depend as d
        on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and r.ev_class <> d.refobjid
),

closure (reader, read_oid) as (
    select r.reader, r.read_oid
    from reads as r
    union
    select c.reader, r.read_oid
    from closure as c
    inner join pg_catalog.pg_class as between_view on c.read_oid = between_view.oid and between_view.relkind = 'v'
    inner join reads as r on c.read_oid = r.reader
)

select
    rn.nspname || '.' || reader.relname as reader,
    sn.nspname || '.' || source.relname as source
from closure as c
inner join pg_catalog.pg_class as reader on c.reader = reader.oid and reader.relkind = 'm'
inner join pg_catalog.pg_namespace as rn on reader.relnamespace = rn.oid
inner join pg_catalog.pg_class as source on c.read_oid = source.oid and source.relkind = 'm'
inner join pg_catalog.pg_namespace as sn on source.relnamespace = sn.oid
