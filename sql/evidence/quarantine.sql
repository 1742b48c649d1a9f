-- Quarantined rows by source and reason, against the rows that source has.
-- params: declared
select
    s.relation as source,
    q.reason,
    q.is_collision,
    q.rows,
    greatest(c.reltuples, 0)::bigint as source_rows_estimated,
    -- A handful is never a share worth a warning.
    q.rows <= greatest(c.reltuples * 0.01, 100) as is_small_share
from maintenance.declared_sources(%(declared)s::jsonb) as s
inner join lateral (
    select n.reason, n.target_key is not null as is_collision, count(*) as rows
    from maintenance.quarantine as n
    where n.source_id = s.source_id
    group by n.reason, n.target_key is not null
) as q on true
left join pg_catalog.pg_class as c on s.relation_oid = c.oid
order by s.place, q.rows desc
