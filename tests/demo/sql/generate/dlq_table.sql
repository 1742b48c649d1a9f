-- Load the regular dead letters first … last of total; every value is a hash of the row's number and the seed.
-- params: first, last, total, seed, start, microseconds
-- locks: ROW EXCLUSIVE on dlq_table
insert into monitoring.dlq_table (
    id, original_payload, failure_reason, retry_count, max_retries, created_at, last_retry_at, recovered_at, status
)
select
    g,
    (
        '{{"table": "monitoring_events", "operation": "insert", "trace": "' || to_hex(h2) || to_hex(h1)
        || '", "row": {{"event_type": "health_check", "source": "redis", "value": ' || ((h2 >> 16) & 65535)
        || '}}, "client": "metrics-persister/1.' || ((h2 >> 40) & 7) || '", "queued": ' || ((h2 >> 44) & 1023)
        || case when (h2 & 3) = 0 then ', "correlation_id": "' || to_hex(h1) || '"' else '' end
        || case when (h2 & 12) = 0 then ', "session_id": "sess_' || to_hex((h2 >> 30) & 16383) || '"' else '' end || '}}'
    )::jsonb,
    (array['connection refused', 'statement timeout', 'duplicate key', 'payload too large'])[1 + ((h1 >> 10) & 3)],
    retries,
    5,
    event_time,
    case when retries > 0 then event_time + interval '1 minute' * retries end,
    case when status = 'recovered' then event_time + interval '90 seconds' * (1 + retries) end,
    status
from
    generate_series(%(first)s::bigint, %(last)s::bigint) as g
    cross join lateral (
        select
            hashint8extended(g, %(seed)s::bigint * 16 + 12) as h1,
            hashint8extended(g, %(seed)s::bigint * 16 + 13) as h2
    ) as hashes
    cross join lateral (
        select
            (array['pending', 'pending', 'retrying', 'recovered', 'recovered', 'recovered', 'recovered', 'failed'])
            [1 + (h1 & 7)] as status,
            (array[0, 0, 1, 1, 1, 2, 3, 5])[1 + (h1 & 7)] as retries,
            %(start)s::timestamptz + interval '1 microsecond'
            * floor((g - 1 + (h2 & 1048575) / 1048576.0::float8) / %(total)s * %(microseconds)s) as event_time
    ) as letters
