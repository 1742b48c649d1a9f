-- The last success of each declared flow on each subject, and its newest outcome. What is put off for a migration is held.
-- params: declared, subjects
select
    r.flow,
    r.subject,
    max(r.ended_at) filter (where r.outcome in ('completed', 'waiting')) as last_success,
    min(r.started_at) as first_asked,
    (array_agg(r.outcome order by r.id desc))[1] as newest_outcome,
    (
        (array_agg(r.outcome order by r.id desc))[1] = 'deferred'
        and exists (select from maintenance.migration as m where m.target = r.subject and m.phase = 'capturing')
    ) or exists (select from maintenance.migration as m where m.name = r.subject and m.phase <> 'capturing') as is_held
from maintenance.run as r
where
    r.flow = any(%(declared)s)
    and (
        r.subject = any(%(subjects)s)
        -- Neither a table that is no longer declared nor such a migration.
        or (strpos(r.subject, '.') = 0 and not exists (select from maintenance.migration as m where m.name = r.subject))
    )
group by r.flow, r.subject
order by r.flow, r.subject
