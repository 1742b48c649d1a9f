-- The columns of a partitioned table in order, and the text that adds each to a table that lacks it.
-- params: parent
select
    a.attname::text as name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
    a.attgenerated <> '' as is_generated,
    a.attnotnull and d.oid is null as is_required,
    concat_ws(
        ' ',
        pg_catalog.format_type(a.atttypid, a.atttypmod),
        (
            select format('collate %%I.%%I', n.nspname, c.collname)
            from pg_catalog.pg_collation as c
            inner join pg_catalog.pg_namespace as n on c.collnamespace = n.oid
            where c.oid = a.attcollation
        ),
        case a.attgenerated
            when '' then 'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
            else format(
                'generated always as (%%s) %%s',
                pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                case a.attgenerated when 's' then 'stored' else 'virtual' end
            )
        end,
        case when a.attnotnull then 'not null' end
    ) as definition
from pg_catalog.pg_attribute as a
left join pg_catalog.pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
where a.attrelid = %(parent)s and a.attnum > 0 and not a.attisdropped
order by a.attnum
