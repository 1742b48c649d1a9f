-- Bounds that a backfill has registered and not attached yet: creation leaves them alone (design 6).
-- params: target
select u.lower, u.upper
from maintenance.unit as u
where u.target = %(target)s and u.kind = 'aside' and u.state <> 'done' and u.lower is not null and u.upper is not null
