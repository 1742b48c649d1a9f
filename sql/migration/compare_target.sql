-- How the target's rows are hashed: its columns as two lists, quoted by the server, of a target row u and a mapped row f.
-- A column whose type has no hash function is compared as jsonb (json) or as text (point, xml and the like).
-- params: schema, name
with hashable as (
    select o.opcintype as type_oid
    from pg_catalog.pg_opclass as o
    inner join pg_catalog.pg_am as m on o.opcmethod = m.oid
    where m.amname = 'hash' and o.opcdefault
),

columns as (
    select
        a.attnum,
        a.attname,
        coalesce(nullif(e.typbasetype, 0), e.oid, nullif(t.typbasetype, 0), t.oid) as base_oid,
        coalesce(e.typtype, t.typtype) as kind
    from pg_catalog.pg_attribute as a
    inner join pg_catalog.pg_class as c on a.attrelid = c.oid
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    inner join pg_catalog.pg_type as t on a.atttypid = t.oid
    left join pg_catalog.pg_type as e on t.typelem = e.oid and t.typcategory = 'A'
    where n.nspname = %(schema)s and c.relname = %(name)s and a.attnum > 0 and not a.attisdropped
),

casts as (
    select
        c.attnum,
        quote_ident(c.attname) || case
            when c.base_oid = 'json'::regtype then '::jsonb'
            when c.kind in ('e', 'r', 'm') or c.base_oid in (select h.type_oid from hashable as h) then ''
            -- varchar and its like have the operator class of text.
            when exists (
                select
                from pg_catalog.pg_cast as k
                where
                    k.castsource = c.base_oid and k.castmethod = 'b' and k.castcontext = 'i'
                    and k.casttarget in (select h.type_oid from hashable as h)
            ) then ''
            else '::text'
        end as hashed
    from columns as c
)

select
    string_agg('u.' || c.hashed, ', ' order by c.attnum) as unified_record,
    string_agg('f.' || c.hashed, ', ' order by c.attnum) as mapped_record
from casts as c
