-- The CHECKs of an attached partition that say no more than its bounds do: DETACH … CONCURRENTLY leaves one behind (§4.2).
-- params: schema, name
select k.conname::text as name
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_class as c on k.conrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname = %(schema)s and c.relname = %(name)s and k.contype = 'c' and k.conislocal and k.coninhcount = 0
    and pg_catalog.pg_get_expr(k.conbin, k.conrelid) = pg_catalog.pg_get_partition_constraintdef(c.oid)
