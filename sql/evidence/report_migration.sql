-- The migration's phase, its newest full comparison and its approval: the head of the report.
-- params: migration
select
    m.name, m.target, m.phase, m.generation, m.mapping_version, m.captured_at, m.cut_over_at, m.rolled_back_at,
    c.id as comparison_id, c.snapshot_at, c.rows_compared, c.legacy_rows, c.quarantined, c.in_flight, c.differing,
    c.kinds, c.seconds as comparison_seconds,
    k.locked_ms, k.drained,
    a.decision, a.name as approved_by, a.reason as approval_reason, a.sign_offs, a.given_at
from maintenance.migration as m
left join maintenance.cutover as k on m.name = k.migration
left join lateral (
    select n.* from maintenance.comparison as n
    where n.migration = m.name and not n.is_partial
    order by n.id desc
    limit 1
) as c on true
left join lateral (
    select p.*
    from maintenance.approval_request as r
    inner join maintenance.approval as p on r.id = p.request_id
    where r.migration = m.name
    order by p.given_at desc
    limit 1
) as a on true
where m.name = %(migration)s
