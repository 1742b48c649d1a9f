-- The keys of a source's legacy rows of one range, to find among them a row that fails.
-- identifiers: legacy, key, time
-- params: lower, upper, zone
-- locks: ACCESS SHARE on legacy
select l.{key}::text as key
from {legacy} as l
where
    l.{time} >= maintenance.first_time(%(lower)s, %(zone)s, l.{time})
    and l.{time} < maintenance.past_time(%(upper)s, %(zone)s, l.{time})
    and maintenance.source_instant(l.{time}, %(zone)s) >= %(lower)s
    and maintenance.source_instant(l.{time}, %(zone)s) < %(upper)s
order by l.{time}, l.{key}
