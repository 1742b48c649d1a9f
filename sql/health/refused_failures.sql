-- Failures that the declared sink did not take, with the newest reason.
select count(*) as failures, (array_agg(f.refused order by f.refused_at desc))[1] as reason
from maintenance.failure as f
where f.delivered_at is null and f.refused is not null
having count(*) > 0
