-- Finish a concurrent detach that was interrupted; it hides the partition's rows and blocks every other detach of the parent.
-- identifiers: parent, partition
-- locks: SHARE UPDATE EXCLUSIVE on parent, ACCESS EXCLUSIVE on partition; waits for transactions that use the parent
-- transaction: none
alter table {parent} detach partition {partition} finalize
