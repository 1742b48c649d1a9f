-- Rows in quarantine at the first report within the given time, and when that was.
-- params: since
select h.quarantined, h.taken_at
from maintenance.health as h
where h.taken_at >= %(since)s
order by h.taken_at
limit 1
