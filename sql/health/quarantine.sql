-- Rows in quarantine by source and reason.
select s.relation as source, q.reason, count(*) as rows
from maintenance.quarantine as q
inner join maintenance.source as s on q.source_id = s.id
group by s.relation, q.reason
order by s.relation, q.reason
