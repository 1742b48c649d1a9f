-- Of several lists of partitions, each from the newest to the oldest, the place of the first whose file is not empty. Whoever inserts
-- a row makes the file longer before anybody can see the row, so what is skipped has none. What is no heap is never skipped.
-- params: oids, firsts, lasts
-- locks: ACCESS SHARE on one partition after the other, for the moment in which its file is measured
select t.list, f.place
from unnest(%(firsts)s::int[], %(lasts)s::int[]) with ordinality as t (first, last, list)
cross join lateral (
    select t.first + o.number - 1 as place
    from unnest((%(oids)s::oid[])[t.first:t.last]) with ordinality as o (oid, number)
    where
        coalesce(
            (
                select c.relkind <> 'r' or m.amname <> 'heap'
                from pg_catalog.pg_class as c
                left join pg_catalog.pg_am as m on c.relam = m.oid
                where c.oid = o.oid
            ),
            false
        )
        or pg_catalog.pg_relation_size(o.oid) > 0
    limit 1
) as f
