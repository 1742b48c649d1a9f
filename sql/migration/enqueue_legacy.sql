-- Put the keys of a source's legacy rows of one range into the capture log.
-- identifiers: legacy, key, time
-- params: source_id, lower, upper, zone
-- locks: ACCESS SHARE on legacy
insert into maintenance.capture (source_id, key)
select %(source_id)s, l.{key}::text
from {legacy} as l
where
    l.{time} >= maintenance.first_time(%(lower)s, %(zone)s, l.{time})
    and l.{time} < maintenance.past_time(%(upper)s, %(zone)s, l.{time})
    and maintenance.source_instant(l.{time}, %(zone)s) >= %(lower)s
    and maintenance.source_instant(l.{time}, %(zone)s) < %(upper)s
order by l.{time}
