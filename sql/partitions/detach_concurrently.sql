-- Detach one partition while it and its parent stay readable and writable.
-- identifiers: parent, partition
-- locks: SHARE UPDATE EXCLUSIVE on parent, then ACCESS EXCLUSIVE on partition; waits for transactions that use the parent
-- transaction: none
alter table {parent} detach partition {partition} concurrently
