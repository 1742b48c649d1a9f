-- When the flow last did its work on the subject; before the first success, when it was first asked to.
-- params: flow, subject
select
    max(r.ended_at) filter (where r.outcome in ('completed', 'waiting')) as last_success,
    min(r.started_at) as first_asked,
    clock_timestamp() as now
from maintenance.run as r
where r.flow = %(flow)s and r.subject = %(subject)s
