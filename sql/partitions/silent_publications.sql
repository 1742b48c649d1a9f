-- Publications that name partitions of a table one by one and not the table: a new partition is silently left out of them.
-- params: parent
select
    p.pubname::text as publication,
    count(*) as partitions
from pg_catalog.pg_publication_rel as r
inner join pg_catalog.pg_publication as p on r.prpubid = p.oid
inner join pg_catalog.pg_inherits as h on r.prrelid = h.inhrelid
where
    h.inhparent = %(parent)s
    and not exists (
        select
        from pg_catalog.pg_publication_tables as t
        inner join pg_catalog.pg_class as c on t.tablename = c.relname
        inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid and t.schemaname = n.nspname
        where t.pubname = p.pubname and c.oid = %(parent)s
    )
    and not exists (
        select from pg_catalog.pg_publication_rel as o where o.prpubid = p.oid and o.prrelid = %(parent)s
    )
group by p.pubname
order by p.pubname
