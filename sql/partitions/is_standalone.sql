-- Whether a table exists and is no partition of anything.
-- params: schema, name
select exists (
    select
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = %(schema)s and c.relname = %(name)s and c.relkind = 'r' and not c.relispartition
) as found
