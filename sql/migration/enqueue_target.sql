-- Put keys of a source's target rows of one range into the capture log, with the time they have there, where no legacy row of
-- that key and time stands behind them: it has gone or moved unseen, and nothing else finds such a row. The others come by
-- their legacy row.
-- identifiers: target, time, legacy, key, legacy_time, owns, backward
-- params: source_id, lower, upper, zone
-- locks: ACCESS SHARE on legacy, target and the partitions of that range
insert into maintenance.capture (source_id, key, old_time)
select %(source_id)s, b.{key}::text, maintenance.source_instant(u.{time}, 'UTC')
from {target} as u
cross join lateral {backward}(u) as b
where
    u.{time} >= maintenance.target_time(%(lower)s, u.{time})
    and u.{time} < maintenance.target_time(%(upper)s, u.{time})
    and {owns}(u)
    and not exists (
        select
        from {legacy} as l
        where
            l.{key} = b.{key}
            and maintenance.target_time(maintenance.source_instant(l.{legacy_time}, %(zone)s), u.{time}) = u.{time}
    )
