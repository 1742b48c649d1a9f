-- Units of the backfill in the order in which they ended: the throughput plot.
-- params: migration
select u.kind, u.lower, u.partition, u.rows_copied, u.rows_quarantined, u.started_at, u.ended_at
from maintenance.unit as u
where u.migration = %(migration)s and u.ended_at is not null
order by u.ended_at
