-- Put the keys of a source's target rows of one range into the capture log, with the time they have there: those whose legacy
-- row has gone or moved are found by nothing else.
-- identifiers: target, time, key, owns, backward
-- params: source_id, lower, upper
-- locks: ACCESS SHARE on target and the partitions of that range
insert into maintenance.capture (source_id, key, old_time)
select %(source_id)s, b.{key}::text, maintenance.source_instant(u.{time}, 'UTC')
from {target} as u
cross join lateral {backward}(u) as b
where
    u.{time} >= maintenance.target_time(%(lower)s, u.{time})
    and u.{time} < maintenance.target_time(%(upper)s, u.{time})
    and {owns}(u)
