-- The youngest partition of that name that retention has dropped: its bounds, its file and what proves it.
-- params: parent, partition
select r.id, r.lower, r.upper, r.archive, r.manifest
from maintenance.retirement as r
where r.parent = %(parent)s and r.partition = %(partition)s and r.state = 'dropped'
order by r.id desc
limit 1
