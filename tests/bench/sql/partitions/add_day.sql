-- Give a partitioned table one partition with one statement, as it is written by hand.
-- identifiers: parent, partition
-- literals: lower, upper
-- locks: ACCESS EXCLUSIVE on the parent
create table {partition} partition of {parent} for values from ({lower}) to ({upper})
