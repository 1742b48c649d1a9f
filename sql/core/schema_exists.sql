-- One row where the schema exists.
-- params: schema
select 1 as present from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
