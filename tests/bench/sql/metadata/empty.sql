-- Empty a table before the next turn.
-- identifiers: target
-- locks: ACCESS EXCLUSIVE on target
truncate {target}
