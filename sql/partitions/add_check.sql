-- Give a standalone table a CHECK that its parent has got meanwhile; its rows are read.
-- identifiers: partition, constraint
-- fragments: definition
-- locks: ACCESS EXCLUSIVE on partition, which stands alone
alter table {partition} add constraint {constraint} {definition}
