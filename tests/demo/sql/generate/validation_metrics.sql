-- Load the regular validation metrics first … last of total; times are local to the zone of the server that wrote them.
-- params: first, last, total, seed, start, microseconds, zone
-- locks: ROW EXCLUSIVE on validation_metrics
insert into monitoring.validation_metrics (
    id, event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
select
    g,
    (array['cache_metrics', 'session_metrics', 'provider_call', 'tool_run'])[1 + mod(h1 & 1023, 4)],
    total_events,
    total_events - failed_events,
    failed_events,
    case when total_events = 0 then 0 else (total_events - failed_events)::float8 / total_events * 100 end,
    ((h2 >> 8) & 1048575) / 4096.0::float8,
    failed_events * ((h1 >> 24) & 1)::int,
    ((h1 >> 26) & 3)::int * ((h1 >> 28) & 1)::int,
    event_time at time zone %(zone)s,
    (event_time + interval '1 millisecond' * ((h1 >> 30) & 511)) at time zone %(zone)s,
    (event_time + interval '1 millisecond' * ((h1 >> 30) & 4095)) at time zone %(zone)s
from
    generate_series(%(first)s::bigint, %(last)s::bigint) as g
    cross join lateral (
        select
            hashint8extended(g, %(seed)s::bigint * 16 + 4) as h1,
            hashint8extended(g, %(seed)s::bigint * 16 + 5) as h2
    ) as hashes
    cross join lateral (
        select
            ((h2 >> 30) & 1023)::int as total_events,
            case when (h2 & 7) = 0 then (((h2 >> 30) & 1023) / (2 + ((h2 >> 3) & 15)))::int else 0 end as failed_events,
            %(start)s::timestamptz + interval '1 microsecond'
            * floor((g - 1 + (h2 & 1048575) / 1048576.0::float8) / %(total)s * %(microseconds)s) as event_time
    ) as metrics
