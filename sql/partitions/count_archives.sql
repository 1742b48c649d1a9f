-- How many archives of earlier partitions with the same lower bound were kept: their files stay beside the new one.
-- params: id
select count(*) as earlier
from maintenance.retirement as r
inner join maintenance.retirement as o
    on r.parent = o.parent and r.lower is not distinct from o.lower and o.state = 'dropped' and o.archive is not null
where r.id = %(id)s
