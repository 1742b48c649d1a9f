-- The partitions of a migration's target, the oldest first: whether the backfill built them, for nobody else, and whether
-- their detach has not ended.
-- params: migration, target, target_oid
select
    p.schema,
    p.name,
    p.relation_oid as oid,
    p.lower,
    p.upper,
    pg_catalog.pg_table_size(p.relation_oid) as size_bytes,
    p.is_leaf
    and not exists (
        select from maintenance.migration as o
        where o.target = %(target)s and o.name <> %(migration)s and o.phase in ('capturing', 'cut_over', 'retired')
    )
    and coalesce(b.bounds @> tstzrange(p.lower, p.upper), false) as is_built,
    p.is_pending_detach
from maintenance.partition as p
cross join (
    select range_agg(tstzrange(u.lower, u.upper)) as bounds
    from maintenance.unit as u
    where u.migration = %(migration)s and u.kind = 'aside' and u.lower is not null and u.upper is not null
) as b
where p.parent_oid = %(target_oid)s
order by p.is_default, p.lower nulls first, p.name
