-- Detach one partition of a parent with a default partition, where CONCURRENTLY is refused.
-- identifiers: parent, partition
-- locks: ACCESS EXCLUSIVE on parent, partition and the default partition
alter table {parent} detach partition {partition}
