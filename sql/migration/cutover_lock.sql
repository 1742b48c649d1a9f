-- Keep everybody out of a legacy table until its name is the view's.
-- identifiers: relation
-- locks: ACCESS EXCLUSIVE on relation
lock table {relation} in access exclusive mode
