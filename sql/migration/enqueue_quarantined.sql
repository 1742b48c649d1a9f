-- Put the keys of a source's quarantined rows of one range into the capture log.
-- params: source_id, lower, upper
insert into maintenance.capture (source_id, key)
select q.source_id, q.key
from maintenance.quarantine as q
where q.source_id = %(source_id)s and q.event_time >= %(lower)s and q.event_time < %(upper)s
