-- The runs on the migration and on its target, newest last.
-- params: migration, target, at_most
select n.flow, n.subject, n.outcome, n.started_at, n.ended_at, extract(epoch from n.ended_at - n.started_at)::float as seconds
from (
    select r.*
    from maintenance.run as r
    where r.subject in (%(migration)s, %(target)s)
    order by r.id desc
    limit %(at_most)s
) as n
order by n.id
