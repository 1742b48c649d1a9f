-- Let nobody read or write a detached partition while it is counted for the last time and dropped.
-- identifiers: partition
-- locks: ACCESS EXCLUSIVE on partition
lock table {partition} in access exclusive mode
