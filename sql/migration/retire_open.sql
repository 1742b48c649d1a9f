-- The retirement under way of a table, by its identity.
-- params: relation_oid
select r.id, r.state, r.archive, r.manifest
from maintenance.retirement as r
where r.partition_oid = %(relation_oid)s and r.state not in ('dropped', 'returned')
