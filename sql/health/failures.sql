-- The newest failed flow runs of maintenance itself since a moment.
-- params: since
select f.occurred_at, f.flow, f.kind, f.object, left(f.message, 300) as message
from maintenance.failure as f
where f.occurred_at >= %(since)s
order by f.occurred_at desc
limit 20
