-- The sequence that the cutover has taken from a legacy table's key; an identity column has kept its own.
-- params: source_id
select n.nspname::text as sequence_schema, c.relname::text as sequence_name
from maintenance.source as s
inner join pg_catalog.pg_class as c on s.former_sequence::regclass = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    s.id = %(source_id)s
    and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
    )
