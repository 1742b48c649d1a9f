-- What stands under each old name after the cutover: a view that reads and takes writes, its table aside (M4).
-- params: declared
select
    s.relation,
    v.relkind = 'v' as is_view,
    c.oid is not null and c.relname = s.facts ->> 'aside' as is_table_aside,
    coalesce((
        select bit_or(t.tgtype::integer) & 28 = 28
        from pg_catalog.pg_trigger as t
        where t.tgrelid = v.oid and t.tgtype & 64 = 64 and t.tgenabled in ('O', 'A')
    ), false) as takes_writes,
    (
        select count(*) = 0
        from pg_catalog.pg_attribute as a
        full join pg_catalog.pg_attribute as b on b.attrelid = v.oid and a.attname = b.attname and b.attnum > 0
        where
            a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            and (b.attname is null or a.atttypid <> b.atttypid or a.atttypmod <> b.atttypmod)
    ) as has_legacy_columns
from maintenance.declared_sources(%(declared)s::jsonb) as s
left join pg_catalog.pg_class as v on maintenance.declared_relation(s.facts) = v.oid
left join pg_catalog.pg_class as c on s.relation_oid = c.oid
order by s.place
