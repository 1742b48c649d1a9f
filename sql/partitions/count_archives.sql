-- How many archives of earlier partitions with the same lower bound were kept: their files stay beside the new one.
-- One that was attached again counts once another table has its bounds, such as the one that it was merged into.
-- params: id
select count(*) as earlier
from maintenance.retirement as r
inner join maintenance.retirement as o
    on r.parent = o.parent and r.lower is not distinct from o.lower and o.archive is not null
    and (o.state = 'dropped' or o.state = 'returned' and o.partition_oid <> r.partition_oid)
where r.id = %(id)s
