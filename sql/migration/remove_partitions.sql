-- The partitions of a migration's target, the oldest first: whether the backfill built them, for nobody else, and what forbids
-- to touch them.
-- params: migration, target, target_oid, as_of
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
    case
        when p.is_pending_detach then 'its detach has not ended; run enforce_retention'
        else (
            select format('on hold: %%s', h.reason)
            from maintenance.hold as h
            where
                h.relation = %(target)s and (h.until is null or %(as_of)s::timestamptz < h.until)
                and tstzrange(h.lower, h.upper) && tstzrange(p.lower, p.upper)
            order by h.id
            limit 1
        )
    end as obstacle
from maintenance.partition as p
cross join (
    select range_agg(tstzrange(u.lower, u.upper)) as bounds
    from maintenance.unit as u
    where u.migration = %(migration)s and u.kind = 'aside' and u.lower is not null and u.upper is not null
) as b
where p.parent_oid = %(target_oid)s
order by p.is_default, p.lower nulls first, p.name
