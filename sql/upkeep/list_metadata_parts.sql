-- The relations that hold a table's rows: its leaf partitions with the condition that leads to each, or the table itself.
-- params: schema, name
select
    p.oid::bigint as oid,
    ns.nspname as schema,
    p.relname as name,
    coalesce(pg_catalog.pg_get_partition_constraintdef(p.oid), 'true') as condition,
    (pg_catalog.pg_relation_size(p.oid) / pg_catalog.current_setting('block_size')::bigint)::bigint as blocks
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join lateral pg_catalog.pg_partition_tree(c.oid) as t on true
inner join pg_catalog.pg_class as p on p.oid = coalesce(t.relid, c.oid)
inner join pg_catalog.pg_namespace as ns on p.relnamespace = ns.oid
where n.nspname = %(schema)s and c.relname = %(name)s and p.relkind = 'r'
order by ns.nspname, p.relname
