-- The tables that a way back has taken out of a target and not dropped yet, and what holds each back.
-- params: parent, target, as_of
select
    r.id,
    r.partition,
    r.partition_oid as oid,
    r.state,
    r.archive,
    r.manifest,
    pg_catalog.pg_table_size(r.partition_oid) as size_bytes,
    (
        select format('on hold: %%s', h.reason)
        from maintenance.hold as h
        where
            h.relation = %(target)s and (h.until is null or %(as_of)s::timestamptz < h.until)
            and tstzrange(h.lower, h.upper) && tstzrange(r.lower, r.upper)
        order by h.id
        limit 1
    ) as obstacle
from maintenance.retirement as r
where r.parent = %(parent)s and r.state in ('detached', 'archiving', 'archived')
order by r.lower nulls first, r.id
