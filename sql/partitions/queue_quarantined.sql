-- Queue for judgement the quarantined rows that the raised span now takes; judging any other row in it again does no harm.
-- params: target, lower, upper
insert into maintenance.capture (source_id, key)
select q.source_id, q.key
from maintenance.quarantine as q
inner join maintenance.source as s on q.source_id = s.id
inner join maintenance.migration as m on s.migration = m.name
where
    m.target = %(target)s and m.phase in ('capturing', 'cut_over') and q.target_key is null
    and q.event_time >= %(lower)s and q.event_time < %(upper)s
