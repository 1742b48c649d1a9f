-- Let nobody write to a partition while it is counted and taken out.
-- identifiers: partition
-- locks: SHARE on partition
lock table {partition} in share mode
