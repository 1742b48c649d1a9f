-- The direct partitions of tables with their bounds as instants, each table's in order of their lower bound.
-- params: parents
select p.parent_oid, p.schema, p.name, p.lower, p.upper, p.is_pending_detach, p.is_default, p.is_leaf
from maintenance.partition as p
where p.parent_oid = any(%(parents)s::oid[])
order by p.is_default, p.lower nulls first, p.name
