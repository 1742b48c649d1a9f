-- Lists of the target's columns as carrying back needs them. A type without equality is compared by its text. JSON that is
-- null is told from a NULL by leaving the NULL out.
-- params: target, id, time, id_type, time_type
select
    string_agg(format('f.%%I%%s', a.attname, e.cast_to), ', ' order by a.attnum)
        filter (where a.attgenerated = '') as mapped,
    string_agg(format('(r.u).%%I%%s', a.attname, e.cast_to), ', ' order by a.attnum)
        filter (where a.attgenerated = '') as unified,
    format(
        'to_jsonb(r.u) - array_remove(array[%%s]::text[], null)',
        string_agg(format('case when (r.u).%%I is null then %%L end', a.attname, a.attname), ', ')
            filter (where a.atttypid in ('json'::regtype, 'jsonb'::regtype))
    ) as as_json,
    format('row(%%s)::%%s', string_agg(
        case a.attname
            when %(id)s then format('k.key::%%s', %(id_type)s::text)
            when %(time)s then format('k.at::%%s', %(time_type)s::text)
            else 'null'
        end,
        ', ' order by a.attnum
    ), a.attrelid::regclass) as place
from pg_catalog.pg_attribute as a
cross join lateral (
    select case when exists (
        select from pg_catalog.pg_opclass as o
        inner join pg_catalog.pg_am as m on o.opcmethod = m.oid and m.amname in ('btree', 'hash')
        inner join pg_catalog.pg_type as t on a.atttypid = t.oid
        where o.opcdefault and (o.opcintype = coalesce(nullif(t.typbasetype, 0), t.oid) or t.typcategory in ('A', 'E', 'R', 'S'))
    ) then '' else '::text' end as cast_to
) as e
where a.attrelid = %(target)s::regclass and a.attnum > 0 and not a.attisdropped
group by a.attrelid
