-- Drop the CHECK that spared ATTACH its scan: the partition's bounds say the same now.
-- identifiers: partition
-- locks: ACCESS EXCLUSIVE on partition, in the transaction that attached it
alter table {partition} drop constraint maintenance_bounds
