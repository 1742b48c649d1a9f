-- Put the accepted rows of the keys whose place a row of another source holds into quarantine; returns their keys.
-- The holder's row is locked until the end: whoever deletes it waits, then sees this row in quarantine and queues its key.
-- identifiers: target, id, time, legacy, key, forward, holder_owns
-- fragments: key_type
-- params: source_id, keys, span_from, span_to, is_owned, reason
-- locks: ROW SHARE on target and the partitions concerned, ACCESS SHARE on legacy
with held as materialized (
    select l.{key} as maintenance_key, u.{id}::text as target_key, maintenance.source_instant(u.{time}, 'UTC') as event_time
    from unnest(%(keys)s::text[]::{key_type}[]) as k (key)
    inner join {legacy} as l on k.key = l.{key}
    cross join lateral {forward}(l, %(span_from)s, %(span_to)s) as m
    inner join {target} as u on m.{id} = u.{id} and m.{time} = u.{time}
    where m.reason is null and {holder_owns}(u) = %(is_owned)s
    for key share of u
)

insert into maintenance.quarantine as q (source_id, key, event_time, target_key, reason, legacy_row)
select %(source_id)s, l.{key}::text, h.event_time, h.target_key, %(reason)s, to_jsonb(l)
from held as h
inner join {legacy} as l on h.maintenance_key = l.{key}
on conflict (source_id, key) do update
set
    event_time = excluded.event_time,
    target_key = excluded.target_key,
    reason = excluded.reason,
    legacy_row = excluded.legacy_row,
    quarantined_at = clock_timestamp()
returning q.key
