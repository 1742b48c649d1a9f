-- Make sure for a moment that nobody builds an index of a partition: every concurrent build holds this lock until it ends.
-- identifiers: partition
-- locks: SHARE UPDATE EXCLUSIVE on partition, until the transaction ends; readers and writers go on
lock table {partition} in share update exclusive mode
