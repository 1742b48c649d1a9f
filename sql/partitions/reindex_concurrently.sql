-- Build an index of one partition again while it is read and written; it keeps its name and what it is attached to.
-- identifiers: index
-- locks: SHARE UPDATE EXCLUSIVE on its table; ACCESS EXCLUSIVE on index for the swap; waits for older transactions
-- transaction: none
reindex index concurrently {index}
