-- An empty table with a parent's columns, rolled back: shows how the server writes a declared index definition.
-- identifiers: probe, parent
-- locks: ACCESS SHARE on parent
create table {probe} (like {parent})
