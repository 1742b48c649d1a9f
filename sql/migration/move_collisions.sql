-- Take the rows of one source out of a loaded partition whose place a row of an earlier source holds, into quarantine.
-- A row whose legacy row is no longer the same is in the capture log and is judged again from there.
-- identifiers: partition, target, id, time, legacy, key, legacy_time, loser_owns, winner_owns
-- fragments: columns_of_u, columns_of_o
-- params: source_id, code, lower, upper, zone, reason
-- locks: ROW EXCLUSIVE on partition, ACCESS SHARE on legacy
with doubled as materialized (
    select u.{id} as id, u.{time} as time from {partition} as u group by u.{id}, u.{time} having count(*) > 1
),

moved as (
    delete from {partition} as u
    using doubled as d
    where
        u.{id} = d.id and u.{time} = d.time and {loser_owns}(row({columns_of_u})::{target})
        and exists (
            select from {partition} as o
            where o.{id} = d.id and o.{time} = d.time and {winner_owns}(row({columns_of_o})::{target})
        )
    returning u.{id} as id, u.{time} as time
)

insert into maintenance.quarantine as q (source_id, key, event_time, target_key, reason, legacy_row)
select
    %(source_id)s,
    l.{key}::text,
    maintenance.source_instant(m.time, 'UTC'),
    m.id::text,
    %(reason)s,
    to_jsonb(l)
from moved as m
inner join {legacy} as l
    on maintenance.target_id(l.{key}, %(code)s, m.id) = m.id
    and l.{legacy_time} >= maintenance.first_time(%(lower)s, %(zone)s, l.{legacy_time})
    and l.{legacy_time} < maintenance.past_time(%(upper)s, %(zone)s, l.{legacy_time})
    and maintenance.target_time(maintenance.source_instant(l.{legacy_time}, %(zone)s), m.time) = m.time
on conflict (source_id, key) do update
set
    event_time = excluded.event_time,
    target_key = excluded.target_key,
    reason = excluded.reason,
    legacy_row = excluded.legacy_row,
    quarantined_at = clock_timestamp()
