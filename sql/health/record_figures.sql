-- Keep the figures of one report.
-- params: taken_at, database_bytes, hit_ratio, connections, runway_days, partitions_due, quarantined, stale_views, errors, events, critical, warnings
insert into maintenance.health (
    taken_at, database_bytes, hit_ratio, connections, runway_days, partitions_due, quarantined, stale_views, errors, events,
    critical, warnings
)
values (
    %(taken_at)s, %(database_bytes)s, %(hit_ratio)s, %(connections)s, %(runway_days)s, %(partitions_due)s, %(quarantined)s,
    %(stale_views)s, %(errors)s, %(events)s, %(critical)s, %(warnings)s
)
on conflict (taken_at) do nothing
