-- How far ahead of the given moment the partitions reach, against the declared runway (D3).
-- params: declared
select
    d.facts -> 'target' ->> 'relation' as relation,
    (d.facts ->> 'as_of')::timestamptz as as_of,
    r.upper as runway_until,
    make_interval(secs => (d.facts -> 'target' ->> 'ahead_s')::double precision)::text as declared_ahead,
    coalesce(r.upper > (d.facts ->> 'as_of')::timestamptz, false) as takes_present_rows,
    coalesce(
        r.upper >= (d.facts ->> 'as_of')::timestamptz
        + make_interval(secs => (d.facts -> 'target' ->> 'ahead_s')::double precision / 2),
        false
    ) as is_long_enough
from (select %(declared)s::jsonb as facts) as d
cross join lateral (
    select max(p.upper) as upper
    from maintenance.partition as p
    where p.parent_oid = maintenance.declared_relation(d.facts -> 'target') and not p.is_pending_detach
) as r
