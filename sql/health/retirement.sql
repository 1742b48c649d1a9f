-- Detached partitions that wait: for their archive, or for the end of their grace period.
-- params: parent
select count(*) as waiting
from maintenance.retirement as r
where r.parent = %(parent)s and r.state in ('detached', 'archiving', 'archived')
