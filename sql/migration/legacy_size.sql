-- Bytes of a migration's legacy tables with indexes and TOAST.
-- params: migration
select coalesce(sum(pg_catalog.pg_total_relation_size(s.relation_oid::regclass)), 0)::bigint as size_bytes
from maintenance.source as s
inner join pg_catalog.pg_class as c on s.relation_oid = c.oid
where s.migration = %(migration)s
