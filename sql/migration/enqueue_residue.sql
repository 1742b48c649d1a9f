-- Put the keys of a source's rows whose time is null, infinite or outside the span into the capture log, those in quarantine too.
-- identifiers: legacy, key, time
-- params: source_id, lower, upper, zone
-- locks: ACCESS SHARE on legacy
insert into maintenance.capture (source_id, key)
select %(source_id)s, l.{key}::text
from {legacy} as l
where
    (
        l.{time} is null
        or l.{time} < maintenance.past_time(%(lower)s, %(zone)s, l.{time})
        or l.{time} >= maintenance.first_time(%(upper)s, %(zone)s, l.{time})
    )
    and (
        maintenance.source_instant(l.{time}, %(zone)s) >= %(lower)s
        and maintenance.source_instant(l.{time}, %(zone)s) < %(upper)s
    ) is not true
union
select q.source_id, q.key
from maintenance.quarantine as q
where
    q.source_id = %(source_id)s
    and (q.event_time is null or q.event_time < %(lower)s or q.event_time >= %(upper)s)
