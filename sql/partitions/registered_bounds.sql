-- Bounds that a backfill has registered and not attached yet: creation leaves them alone (design 6).
-- params: targets
select u.target, u.lower, u.upper
from maintenance.unit as u
where
    u.target = any(%(targets)s::text[]) and u.kind = 'aside' and u.state <> 'done' and u.lower is not null and u.upper is not null
