-- Which relations exist, what they are, and whether this session may read them whole; asked before they are read.
-- params: names
select
    n.nspname || '.' || c.relname as name,
    c.relkind::text as kind,
    c.relispopulated as is_filled,
    c.reltuples::bigint as rows,
    case when c.relkind in ('r', 'm') then pg_total_relation_size(c.oid) end as bytes,
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') and not row_security_active(c.oid) as is_readable
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where n.nspname || '.' || c.relname = any(%(names)s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
