-- Columns in which a view differs from the table whose name it takes: by place, name, type, modifier or collation.
-- params: view, legacy
select
    coalesce(t.attname, v.attname)::text as name,
    coalesce(format_type(t.atttypid, t.atttypmod), 'no column') as expected,
    coalesce(v.attname || ' ' || format_type(v.atttypid, v.atttypmod), 'no column') as found
from (
    select a.*, row_number() over (order by a.attnum) as place from pg_catalog.pg_attribute as a
    where a.attrelid = %(legacy)s::regclass and a.attnum > 0 and not a.attisdropped
) as t
full join (
    select a.*, row_number() over (order by a.attnum) as place from pg_catalog.pg_attribute as a
    where a.attrelid = %(view)s::regclass and a.attnum > 0 and not a.attisdropped
) as v on t.place = v.place
where
    (t.attname, t.atttypid, t.atttypmod, t.attcollation) is distinct from (v.attname, v.atttypid, v.atttypmod, v.attcollation)
order by coalesce(t.place, v.place)
