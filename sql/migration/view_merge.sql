-- How an UPDATE through a view changes a row of the target: where the mapping gives what it gave before, the row keeps its own.
-- An identity that is GENERATED ALWAYS is given with a new row and never changed.
-- params: target
select
    string_agg(
        format(
            'case when row(mine.becomes.%%1$I)::record *= row(mine.was.%%1$I)::record '
            'then mine.base.%%1$I else mine.becomes.%%1$I end',
            a.attname
        ),
        ', ' order by a.attnum
    ) as merged,
    string_agg(format('mine.result.%%I', a.attname), ', ' order by a.attnum) filter (where a.attgenerated = '') as results,
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where a.attgenerated = '') as columns,
    string_agg(format('mine.result.%%I', a.attname), ', ' order by a.attnum)
        filter (where a.attgenerated = '' and a.attidentity <> 'a') as changes,
    string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where a.attgenerated = '' and a.attidentity <> 'a') as changed,
    string_agg(format('f.%%I', a.attname), ', ' order by a.attnum) filter (where a.attgenerated = '') as mapped
from pg_catalog.pg_attribute as a
where a.attrelid = %(target)s::regclass and a.attnum > 0 and not a.attisdropped
