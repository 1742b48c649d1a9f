-- Lists of a legacy table's columns as carrying back needs them; in a quarantined row a JSON null is told from a NULL, whose
-- key is left out.
-- params: relation_oid, key, key_type
select
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) as names,
    string_agg(
        case when a.attname = %(key)s then format('coalesce(k.legacy_key::%%s, b.%%I)', %(key_type)s::text, a.attname)
        else format('b.%%I', a.attname) end,
        ', ' order by a.attnum
    ) as values,
    string_agg(format('excluded.%%I', a.attname), ', ' order by a.attnum) as excluded,
    string_agg(
        case when a.atttypid in ('json'::regtype, 'jsonb'::regtype)
            then format(
                'case when q.legacy_row -> %%1$L = ''null'' then ''null''::%%2$s else p.%%3$I end',
                a.attname, a.atttypid::regtype, a.attname
            )
        else format('p.%%I', a.attname) end,
        ', ' order by a.attnum
    ) as restored
from pg_catalog.pg_attribute as a
where a.attrelid = %(relation_oid)s and a.attnum > 0 and not a.attisdropped
