-- Whether a mapping function is installed for the rows of one relation; the same table keeps its functions when renamed.
-- params: schema, name, relation_schema, relation_name
select exists (
    select
    from pg_catalog.pg_proc as p
    inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
    inner join pg_catalog.pg_class as c on p.proargtypes[0] = c.reltype
    inner join pg_catalog.pg_namespace as r on c.relnamespace = r.oid
    where
        n.nspname = %(schema)s and p.proname = %(name)s
        and r.nspname = %(relation_schema)s and c.relname = %(relation_name)s
) as found
