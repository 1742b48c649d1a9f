-- Give the sequence of a key back to its table.
-- identifiers: sequence, relation, key
-- locks: ACCESS EXCLUSIVE on sequence
alter sequence {sequence} owned by {relation}.{key}
