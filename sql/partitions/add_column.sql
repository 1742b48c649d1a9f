-- Give a detached partition a column that its parent has got meanwhile; its rows take the default.
-- identifiers: partition, column
-- fragments: definition
-- locks: ACCESS EXCLUSIVE on partition, which is detached
alter table {partition} add column {column} {definition}
