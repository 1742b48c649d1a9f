-- Say whether this server has pg_partman.
select exists (select from pg_catalog.pg_available_extensions where name = 'pg_partman') as has_partman
