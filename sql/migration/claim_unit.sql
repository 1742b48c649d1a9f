-- Claim a unit for this transaction; no row where it is done or another session works on it.
-- params: migration, kind, lower
select u.id, u.state, u.partition
from maintenance.unit as u
where
    u.migration = %(migration)s and u.kind = %(kind)s and u.lower is not distinct from %(lower)s and u.state <> 'done'
for update skip locked
