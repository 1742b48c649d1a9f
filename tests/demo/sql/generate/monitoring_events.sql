-- Load the regular monitoring events first … last of total; every value is a hash of the row's number and the seed.
-- params: first, last, total, seed, start, microseconds
-- locks: ROW EXCLUSIVE on monitoring_events
insert into monitoring.monitoring_events (id, event_type, timestamp, source, data, metadata, created_at)
select
    encode(int8send((h1 & -61441) | 16384) || int8send((h2 & 4611686018427387903) | (1::bigint << 63)), 'hex')::uuid,
    (array['cache_metrics', 'session_metrics', 'health_check', 'provider_call', 'connection', 'tool_run'])[1 + mod(h1 & 1023, 6)],
    event_time,
    (array['websocket', 'realtime', 'redis', 'monitoring_endpoint', 'provider'])[1 + mod(h2 & 1023, 5)],
    (
        '{{"message": "'
        || (array['request served', 'connection accepted by the broker', 'session resumed after a reconnect', 'batch flushed'])
        [1 + ((h1 >> 10) & 3)]
        || '", "trace": "' || to_hex(h3) || to_hex(h2 >> 7) || '", "host": "node-' || ((h2 >> 8) & 15)
        || '", "region": "eu-central-' || (1 + ((h1 >> 20) & 1)) || '", "attempt": ' || (1 + ((h3 >> 3) & 1))
        || case when (h3 & 255) < 160 then ', "duration_ms": ' || ((h3 >> 8) & 4095) else '' end
        || case when (h3 & 255) > 90 then ', "response_time_ms": ' || ((h3 >> 20) & 2047) else '' end
        || case when (h3 & 7) = 0 then ', "data_size_bytes": ' || ((h3 >> 32) & 65535) else '' end
        || case when (h2 & 3) = 0 then ', "session_id": "sess_' || to_hex((h2 >> 16) & 16383) || '"' else '' end
        || case when (h2 & 12) = 0 then ', "user_id": "user_' || ((h2 >> 30) & 511) || '"' else '' end
        || case when (h2 & 24) = 0 then ', "correlation_id": "' || to_hex(h1) || '"' else '' end
        || case
            when (h1 & 127) > 18 then ', "severity": "info"'
            when (h1 & 127) > 8 then ', "level": "warn"'
            when (h1 & 127) > 1 then ', "severity": "error", "error": "upstream timed out after 30 s"'
            else ', "level": "FATAL", "error": "out of connections"'
        end || '}}'
    )::jsonb,
    case (h3 >> 40) & 3
        when 0 then '{{"adapter": "realtime", "broadcast": true}}'::jsonb
        when 1 then jsonb_build_object('adapter', 'websocket', 'clients', (h3 >> 42) & 63)
        else '{{}}'::jsonb
    end,
    event_time + interval '1 millisecond' * ((h1 >> 30) & 2047)
from
    generate_series(%(first)s::bigint, %(last)s::bigint) as g
    cross join lateral (
        select
            hashint8extended(g, %(seed)s::bigint * 16 + 1) as h1,
            hashint8extended(g, %(seed)s::bigint * 16 + 2) as h2,
            hashint8extended(g, %(seed)s::bigint * 16 + 3) as h3
    ) as hashes
    cross join lateral (
        select %(start)s::timestamptz + interval '1 microsecond'
        * floor((g - 1 + (h3 & 1048575) / 1048576.0::float8) / %(total)s * %(microseconds)s) as event_time
    ) as times
