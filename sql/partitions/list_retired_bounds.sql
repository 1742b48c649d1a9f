-- The bounds of what retention, or the way back of a migration (its name stands in the parent), has dropped at or above a
-- table's oldest attached partition: no gaps, although nothing is there.
-- params: parent, parent_oid
select r.lower, r.upper
from maintenance.retirement as r
where
    (r.parent = %(parent)s or starts_with(r.parent, %(parent)s || ' of ')) and r.state = 'dropped' and r.lower is not null
    and r.upper > (select min(p.lower) from maintenance.partition as p where p.parent_oid = %(parent_oid)s)
