-- Figures of earlier runs, the last of each four hours.
-- params: since
select distinct on (date_bin('4 hours', h.taken_at, 'epoch'))
    h.taken_at, h.database_bytes, h.hit_ratio, h.connections, h.runway_days, h.partitions_due, h.quarantined,
    h.errors, h.events, h.critical, h.warnings
from maintenance.health as h
where h.taken_at >= %(since)s
order by date_bin('4 hours', h.taken_at, 'epoch') asc, h.taken_at desc
