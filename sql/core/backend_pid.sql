-- The server process behind this transaction; a transaction-mode pooler changes it between two (design 11).
select pg_backend_pid() as pid
