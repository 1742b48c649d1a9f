-- The direct partitions of a table with their bounds as instants, in order of their lower bound.
-- params: schema, name
select p.schema, p.name, p.lower, p.upper, p.is_pending_detach, p.is_default, p.is_leaf
from maintenance.partition as p
inner join pg_catalog.pg_class as c on p.parent_oid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s
order by p.is_default, p.lower nulls first, p.name
