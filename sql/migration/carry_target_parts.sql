-- Lists of the target's columns as carrying back needs them. A type without equality is compared by its text. JSON that is
-- null is told from a NULL by leaving the NULL out, and json is kept as its text.
-- params: target, id, time, id_type, time_type
select
    string_agg(format('f.%%I%%s', a.attname, e.cast_to), ', ' order by a.attnum)
        filter (where a.attgenerated = '') as mapped,
    string_agg(format('(r.u).%%I%%s', a.attname, e.cast_to), ', ' order by a.attnum)
        filter (where a.attgenerated = '') as unified,
    format(
        '(to_jsonb(r.u) - array_remove(array[%%s]::text[], null)) || jsonb_strip_nulls(jsonb_build_object(%%s))',
        string_agg(format('case when (r.u).%%I is null then %%L end', a.attname, a.attname), ', ')
            filter (where a.atttypid in ('json'::regtype, 'jsonb'::regtype)),
        string_agg(format('%%L, (r.u).%%I::text', a.attname, a.attname), ', ') filter (where a.atttypid = 'json'::regtype)
    ) as as_json,
    format('row(%%s)::%%s', string_agg(
        case a.attname
            when %(id)s then format('k.key::%%s', %(id_type)s::text)
            when %(time)s then format('k.at::%%s', %(time_type)s::text)
            else 'null'
        end,
        ', ' order by a.attnum
    ), a.attrelid::regclass) as place,
    format('row(%%s)::%%s', string_agg(
        case a.atttypid
            when 'json'::regtype then format('(c.target_row ->> %%L)::json', a.attname)
            when 'jsonb'::regtype
                then format('case when c.target_row -> %%1$L = ''null'' then ''null''::jsonb else p.%%1$I end', a.attname)
            else format('p.%%I', a.attname)
        end,
        ', ' order by a.attnum
    ), a.attrelid::regclass) as whole,
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where a.attgenerated = '') as columns,
    string_agg(format('(n.whole).%%I', a.attname), ', ' order by a.attnum) filter (where a.attgenerated = '') as whole_columns
from pg_catalog.pg_attribute as a
cross join lateral (
    select case when maintenance.has_equality(a.atttypid) then '' else '::text' end as cast_to
) as e
where a.attrelid = %(target)s::regclass and a.attnum > 0 and not a.attisdropped
group by a.attrelid
