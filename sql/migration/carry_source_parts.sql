-- Lists of a legacy table's columns as carrying back needs them; in a quarantined row a JSON null is told from a NULL, whose
-- key is left out, and json is kept as its text. A key that is GENERATED ALWAYS may be given and never changed, not even to what it is.
-- params: relation_oid, key, key_type
select
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) as names,
    string_agg(
        case when a.attname = %(key)s then format('coalesce(k.legacy_key::%%s, b.%%I)', %(key_type)s::text, a.attname)
        else format('b.%%I', a.attname) end,
        ', ' order by a.attnum
    ) as values,
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where a.attidentity <> 'a') as changed,
    string_agg(format('excluded.%%I', a.attname), ', ' order by a.attnum) filter (where a.attidentity <> 'a') as excluded,
    string_agg(
        case a.atttypid
            when 'json'::regtype then format('(q.legacy_row ->> %%L)::json', a.attname)
            when 'jsonb'::regtype
                then format('case when q.legacy_row -> %%1$L = ''null'' then ''null''::jsonb else p.%%1$I end', a.attname)
            else format('p.%%I', a.attname)
        end,
        ', ' order by a.attnum
    ) as restored,
    string_agg(
        case when a.attname = %(key)s then format('k.legacy_key::%%s', %(key_type)s::text)
        else format('b.%%I::%%s%%s', a.attname, format_type(a.atttypid, a.atttypmod), e.cast_to) end,
        ', ' order by a.attnum
    ) as given,
    string_agg(format('l.%%I%%s', a.attname, e.cast_to), ', ' order by a.attnum) as stored
from pg_catalog.pg_attribute as a
cross join lateral (
    select case when maintenance.has_equality(a.atttypid) then '' else '::text' end as cast_to
) as e
where a.attrelid = %(relation_oid)s and a.attnum > 0 and not a.attisdropped
