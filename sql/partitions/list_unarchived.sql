-- The detached partitions of a table whose archive has not been verified yet, the oldest first.
-- params: parent
select r.id as retirement_id, r.partition, pg_catalog.pg_table_size(c.oid) as size_bytes
from maintenance.retirement as r
inner join pg_catalog.pg_class as c on r.partition_oid = c.oid
where r.parent = %(parent)s and r.state in ('detached', 'archiving')
order by r.upper, r.id
