-- Bytes on disk of ordinary tables and their indexes in the two schemas.
select
    coalesce(sum(pg_total_relation_size(c.oid)) filter (where n.nspname = 'monitoring'), 0)::bigint as legacy,
    coalesce(sum(pg_total_relation_size(c.oid)) filter (where n.nspname = 'unified'), 0)::bigint as unified
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and n.nspname in ('monitoring', 'unified')
