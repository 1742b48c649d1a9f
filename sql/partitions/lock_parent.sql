-- Keep readers and writers out of a partitioned table for the moment of a swap.
-- identifiers: parent
-- locks: ACCESS EXCLUSIVE on parent, not on its partitions
lock table only {parent} in access exclusive mode
