-- Delete one session.
-- identifiers: table
-- params: session_id
-- locks: ROW EXCLUSIVE on table, and the row
delete from {table} where session_id = %(session_id)s
