-- Drop a CHECK that a partition's bounds have made superfluous.
-- identifiers: partition, constraint
-- locks: ACCESS EXCLUSIVE on partition, in the transaction that attached it
alter table {partition} drop constraint {constraint}
