-- Map a source's legacy rows of one range into a standalone partition; one that the mapping refuses goes into quarantine on
-- the way, whole and with the reason. One pass in one snapshot: a second one for the refused rows cost a seventh of the load.
-- The range stands twice: on the column as it is, for its index, and exactly, on the instant. CASE keeps the order: no row
-- outside the range is put aside.
-- identifiers: partition, legacy, key, time, forward
-- fragments: columns, mapped
-- params: source_id, lower, upper, zone, span_from, span_to
-- locks: ROW EXCLUSIVE on partition, ACCESS SHARE on legacy
insert into {partition} ({columns})
select {mapped}
from {legacy} as l
cross join lateral {forward}(l, %(span_from)s, %(span_to)s) as m
where
    l.{time} >= maintenance.first_time(%(lower)s, %(zone)s, l.{time})
    and l.{time} < maintenance.past_time(%(upper)s, %(zone)s, l.{time})
    and case
        when (
            maintenance.source_instant(l.{time}, %(zone)s) >= %(lower)s
            and maintenance.source_instant(l.{time}, %(zone)s) < %(upper)s
        ) is not true then false
        when m.reason is null then true
        else maintenance.quarantine_row(
            %(source_id)s, l.{key}::text, maintenance.source_instant(l.{time}, %(zone)s), m.reason, to_jsonb(l)
        )
    end
