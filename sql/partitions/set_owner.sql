-- Give a new partition to the owner of its parent.
-- identifiers: partition, owner
-- locks: ACCESS EXCLUSIVE on partition, which nobody else can see yet
alter table {partition} owner to {owner}
