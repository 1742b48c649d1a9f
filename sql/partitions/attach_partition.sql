-- Attach a standalone table as the partition for [lower, upper); a CHECK for these bounds makes the scan unnecessary.
-- identifiers: parent, partition
-- literals: lower, upper
-- locks: SHARE UPDATE EXCLUSIVE on parent; ACCESS EXCLUSIVE on partition, and on the default partition where there is one
alter table {parent} attach partition {partition} for values from ({lower}) to ({upper})
