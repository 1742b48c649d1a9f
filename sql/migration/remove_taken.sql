-- The tables that a way back has taken out of a target and not dropped yet.
-- params: parent
select
    r.id,
    r.partition,
    r.partition_oid as oid,
    r.state,
    r.archive,
    r.manifest,
    r.lower,
    r.upper,
    pg_catalog.pg_table_size(r.partition_oid) as size_bytes
from maintenance.retirement as r
where r.parent = %(parent)s and r.state in ('detached', 'archiving', 'archived')
order by r.lower nulls first, r.id
