-- A column that holds metadata: what its table is, and the CHECKs on that column alone; one row where the column exists.
-- params: schema, name, column
select
    c.relkind::text as kind,
    a.atttypid::regtype::text as type,
    a.attgenerated <> '' as is_generated,
    coalesce((
        select jsonb_agg(jsonb_build_object('name', k.conname, 'is_valid', k.convalidated) order by k.conname)
        from pg_catalog.pg_constraint as k
        where
            k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum]
            and to_jsonb(k) ->> 'conenforced' is distinct from 'false'
    ), '[]') as checks,
    coalesce((
        select array_agg(b.attname::text order by b.attnum)
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_attribute as b on i.indrelid = b.attrelid and b.attnum = any(i.indkey::int2[])
        where i.indrelid = c.oid and i.indisprimary
    ), '{{}}') as key
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
where n.nspname = %(schema)s and c.relname = %(name)s and a.attname = %(column)s
