-- How much a backfill writes, and the directory in which the server keeps it, where this role may know it.
-- params: declared
select
    coalesce(sum(pg_total_relation_size(s.relation_oid)), 0)::bigint as sources_bytes,
    (coalesce(sum(pg_total_relation_size(s.relation_oid)), 0) * 1.5)::bigint as needed_bytes,
    case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') end as directory
from maintenance.declared_sources(%(declared)s::jsonb) as s
