-- The last success of each declared flow on each subject, and its newest outcome.
-- params: declared
select
    r.flow, r.subject,
    max(r.ended_at) filter (where r.outcome in ('completed', 'waiting')) as last_success,
    (array_agg(r.outcome order by r.id desc))[1] as newest_outcome
from maintenance.run as r
where r.flow = any(%(declared)s)
group by r.flow, r.subject
order by r.flow, r.subject
