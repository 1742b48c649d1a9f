-- Put a legacy table aside, or back under its name; indexes, constraints and sequences keep theirs.
-- identifiers: relation, name
-- locks: ACCESS EXCLUSIVE on relation
alter table {relation} rename to {name}
