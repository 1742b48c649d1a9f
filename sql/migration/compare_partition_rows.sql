-- About how many rows each partition has, for cutting the work into pieces of like size; null where nobody counted.
-- params: schema, name
select p.lower, nullif(k.reltuples, -1)::bigint as rows
from maintenance.partition as p
inner join pg_catalog.pg_class as k on p.relation_oid = k.oid
inner join pg_catalog.pg_class as c on p.parent_oid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s
