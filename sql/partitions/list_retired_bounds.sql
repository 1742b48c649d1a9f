-- The bounds of what retention has dropped at or above a table's oldest attached partition: no gaps, although nothing is there.
-- params: parent, parent_oid
select r.lower, r.upper
from maintenance.retirement as r
where
    r.parent = %(parent)s and r.state = 'dropped' and r.lower is not null
    and r.upper > (select min(p.lower) from maintenance.partition as p where p.parent_oid = %(parent_oid)s)
