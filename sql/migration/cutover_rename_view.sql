-- Give a view the name of a table, or take it away again.
-- identifiers: view, name
-- locks: ACCESS EXCLUSIVE on view
alter view {view} rename to {name}
