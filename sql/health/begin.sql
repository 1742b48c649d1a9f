-- Read everything in one snapshot, and change nothing.
set transaction isolation level repeatable read, read only
