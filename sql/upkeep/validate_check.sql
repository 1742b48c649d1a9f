-- Validate a CHECK that was added as NOT VALID; on a partition first, so that the parent has nothing left to read.
-- identifiers: relation, constraint
-- locks: SHARE UPDATE EXCLUSIVE on relation: reads and writes go on
alter table {relation} validate constraint {constraint}
