-- Map a source's legacy rows of one range into a standalone partition, and those that the mapping refuses, whole and with the
-- reason, into quarantine; return how many of each. Two passes over the index are cheaper than keeping the mapped rows once.
-- The range stands twice: on the column as it is, for its index, and exactly, on the instant.
-- identifiers: partition, legacy, key, time, forward
-- fragments: columns, mapped
-- params: source_id, lower, upper, zone, span_from, span_to
-- locks: ROW EXCLUSIVE on partition, ACCESS SHARE on legacy
with refused as (
    insert into maintenance.quarantine as q (source_id, key, event_time, reason, legacy_row)
    select %(source_id)s, l.{key}::text, maintenance.source_instant(l.{time}, %(zone)s), m.reason, to_jsonb(l)
    from {legacy} as l
    cross join lateral {forward}(l, %(span_from)s, %(span_to)s) as m
    where
        l.{time} >= maintenance.first_time(%(lower)s, %(zone)s, l.{time})
        and l.{time} < maintenance.past_time(%(upper)s, %(zone)s, l.{time})
        and maintenance.source_instant(l.{time}, %(zone)s) >= %(lower)s
        and maintenance.source_instant(l.{time}, %(zone)s) < %(upper)s
        and m.reason is not null
    on conflict (source_id, key) do update
    set
        event_time = excluded.event_time,
        target_key = null,
        reason = excluded.reason,
        legacy_row = excluded.legacy_row,
        quarantined_at = clock_timestamp()
    returning 1
),

copied as (
    insert into {partition} ({columns})
    overriding system value
    select {mapped}
    from {legacy} as l
    cross join lateral {forward}(l, %(span_from)s, %(span_to)s) as m
    where
        l.{time} >= maintenance.first_time(%(lower)s, %(zone)s, l.{time})
        and l.{time} < maintenance.past_time(%(upper)s, %(zone)s, l.{time})
        and maintenance.source_instant(l.{time}, %(zone)s) >= %(lower)s
        and maintenance.source_instant(l.{time}, %(zone)s) < %(upper)s
        and m.reason is null
    returning 1
)

select (select count(*) from copied) as copied, (select count(*) from refused) as refused
