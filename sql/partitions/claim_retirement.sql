-- Read one retirement for the unit that works on it, locked against every other.
-- params: id
select r.id, r.parent, r.partition, r.partition_oid, r.lower, r.upper, r.state, r.archive, r.manifest
from maintenance.retirement as r
where r.id = %(id)s
for update skip locked
