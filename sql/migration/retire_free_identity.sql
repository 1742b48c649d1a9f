-- Let an identity's sequence outlive its table: the same name, going on where it stood.
-- identifiers: aside, key, sequence
-- literals: next, increment
-- locks: ACCESS EXCLUSIVE on the table aside
alter table {aside} alter column {key} drop identity;
create sequence {sequence} increment by {increment} start with {next}
