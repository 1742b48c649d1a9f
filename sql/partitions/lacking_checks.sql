-- The CHECKs of a partitioned table that a standalone table lacks, each as the text that adds it: ATTACH asks for all of them.
-- params: parent, schema, name
select
    k.conname::text as name,
    regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '') as definition
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_class as c on true
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    k.conrelid = %(parent)s and k.contype = 'c' and not k.connoinherit and n.nspname = %(schema)s and c.relname = %(name)s
    and not exists (
        select
        from pg_catalog.pg_constraint as o
        where o.conrelid = c.oid and o.contype = 'c' and o.conname = k.conname
    )
order by k.conname
