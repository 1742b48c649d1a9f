-- Close a new partition: without a policy only its owner gets rows, everybody else goes through the parent (D8).
-- identifiers: partition
-- locks: ACCESS EXCLUSIVE on partition, which nobody else can see yet
alter table {partition} enable row level security
