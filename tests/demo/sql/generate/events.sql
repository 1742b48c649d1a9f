-- Load the regular events first … last of total; every value is a hash of the row's number and the seed.
-- params: first, last, total, seed, start, microseconds
-- locks: ROW EXCLUSIVE on events
insert into monitoring.events (id, type, data, timestamp, created_at)
select
    g,
    (array['tool_call', 'file_upload', 'provider_request', 'conversation', 'rate_limit'])[1 + mod(h1 & 1023, 5)],
    (
        '{{"name": "' || (array['chat', 'analyze', 'codereview', 'debug'])[1 + ((h1 >> 10) & 3)]
        || '", "trace": "' || to_hex(h3) || to_hex(h2) || '", "model": "glm-4.' || ((h1 >> 12) & 7)
        || '", "tokens": {{"prompt": ' || ((h1 >> 16) & 8191) || ', "completion": ' || ((h1 >> 30) & 2047)
        || '}}, "tags": ["production", "eu-central-1"], "cost": 0.' || ((h1 >> 40) & 8191)
        || case when (h2 & 3) > 0 then ', "source": "' || (array['websocket', 'provider', 'supabase'])[h2 & 3] || '"' else '' end
        || case when (h3 & 255) < 200 then ', "duration_ms": ' || ((h3 >> 8) & 16383) else '' end
        || case when (h3 & 3) = 0 then ', "response_time_ms": ' || ((h3 >> 22) & 2047) else '' end
        || case when (h3 & 12) = 0 then ', "data_size_bytes": ' || ((h3 >> 33) & 1048575) else '' end
        || case when (h2 & 4) = 0 then ', "session_id": "sess_' || to_hex((h2 >> 16) & 16383) || '"' else '' end
        || case when (h2 & 24) = 0 then ', "correlation_id": "' || to_hex(h1) || '"' else '' end
        || case
            when (h1 & 127) > 14 then ''
            when (h1 & 127) > 7 then ', "level": "warning"'
            when (h1 & 127) > 1 then ', "level": "error", "error": "provider answered 502"'
            else ', "severity": "critical", "error": "quota exhausted"'
        end || '}}'
    )::jsonb,
    event_time,
    event_time + interval '1 millisecond' * ((h1 >> 30) & 2047)
from
    generate_series(%(first)s::bigint, %(last)s::bigint) as g
    cross join lateral (
        select
            hashint8extended(g, %(seed)s::bigint * 16 + 9) as h1,
            hashint8extended(g, %(seed)s::bigint * 16 + 10) as h2,
            hashint8extended(g, %(seed)s::bigint * 16 + 11) as h3
    ) as hashes
    cross join lateral (
        select %(start)s::timestamptz + interval '1 microsecond'
        * floor((g - 1 + (h3 & 1048575) / 1048576.0::float8) / %(total)s * %(microseconds)s) as event_time
    ) as times
