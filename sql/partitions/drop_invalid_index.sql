-- Remove what an interrupted CREATE INDEX CONCURRENTLY left behind: it costs every write and answers no query.
-- identifiers: index
-- locks: SHARE UPDATE EXCLUSIVE on its table; waits for older transactions
-- transaction: none
drop index concurrently if exists {index}
