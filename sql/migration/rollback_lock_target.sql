-- Keep everybody out of the target while its last changes are carried back and its triggers go; its partitions stay open to
-- this session.
-- identifiers: target
-- locks: ACCESS EXCLUSIVE on target alone
lock table only {target} in access exclusive mode
