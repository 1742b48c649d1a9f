-- How many bytes of WAL this server has ever written.
select (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint as bytes
