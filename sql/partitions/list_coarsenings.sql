-- Coarsenings of a table that an earlier run began and did not end, oldest first.
-- params: parent
select c.id, c.lower, c.upper, c.partition, c.members, c.state
from maintenance.coarsening as c
where c.parent = %(parent)s and c.state in ('watched', 'built', 'swapped')
order by c.lower
