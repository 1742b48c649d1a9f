-- Drop a detached partition for good; refuses where something depends on it.
-- identifiers: partition
-- locks: ACCESS EXCLUSIVE on partition
drop table {partition}
