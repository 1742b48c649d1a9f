-- Quarantined rows of a migration by reason.
-- params: migration
select q.reason, count(*) as rows
from maintenance.quarantine as q
inner join maintenance.source as s on q.source_id = s.id
where s.migration = %(migration)s
group by q.reason
order by count(*) desc, q.reason
