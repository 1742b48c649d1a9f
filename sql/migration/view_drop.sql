-- Drop a compatibility view with its triggers.
-- identifiers: view
-- locks: ACCESS EXCLUSIVE on view
drop view {view}
