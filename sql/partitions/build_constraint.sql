-- Build on a loaded partition a key of its parent; ATTACH recognises it and builds nothing.
-- identifiers: partition
-- fragments: definition
-- locks: ACCESS EXCLUSIVE on partition, which nobody else can see yet
alter table {partition} add {definition}
