-- Watch a partition no more.
-- identifiers: partition, trigger
-- locks: ACCESS EXCLUSIVE on partition
drop trigger if exists {trigger} on {partition}
