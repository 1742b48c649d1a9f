-- Build an index on one partition while it is read and written.
-- identifiers: partition
-- fragments: kind, definition
-- locks: SHARE UPDATE EXCLUSIVE on partition; waits for older transactions
-- transaction: none
create {kind} concurrently on {partition} {definition}
