-- Drop the counter of writes through an old name.
-- identifiers: counter
-- locks: ACCESS EXCLUSIVE on the sequence
drop sequence {counter}
