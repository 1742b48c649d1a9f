-- Make a partition's unique index its key, so that it can be attached to the parent's key.
-- identifiers: partition, index
-- fragments: key
-- locks: ACCESS EXCLUSIVE on partition for as long as the catalog takes
alter table {partition} add constraint {index} {key} using index {index}
