-- What a dashboard asks of the last hour.
-- identifiers: parent
-- params: lower, upper
select event_type, count(*), max(duration_ms)
from {parent}
where event_timestamp >= %(lower)s and event_timestamp < %(upper)s
group by event_type
