-- How many rows of each source are in quarantine with an event time in a range.
-- params: migration, lower, upper
select q.source_id, count(*) as rows
from maintenance.quarantine as q
inner join maintenance.source as s on q.source_id = s.id
where s.migration = %(migration)s and q.event_time >= %(lower)s and q.event_time < %(upper)s
group by q.source_id
