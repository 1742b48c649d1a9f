-- Load the regular cache metrics first … last of total; every value is a hash of the row's number and the seed.
-- params: first, last, total, seed, start, microseconds
-- locks: ROW EXCLUSIVE on cache_metrics_monitoring
insert into monitoring.cache_metrics_monitoring (
    id, cache_key, operation_type, implementation_type, response_time_ms, cache_size,
    error_type, error_message, metadata, timestamp
)
select
    encode(int8send((h1 & -61441) | 16384) || int8send((h2 & 4611686018427387903) | (1::bigint << 63)), 'hex')::uuid,
    (array['conv', 'sem', 'conn', 'sess', 'file'])[1 + mod(h1 & 1023, 5)] || ':v2:' || to_hex(h2) || ':' || ((h1 >> 20) & 4095),
    operation,
    case when (h1 >> 12) & 3 = 0 then 'legacy' else 'new' end,
    case when (h2 & 15) > 0 then ((h2 >> 4) & 1023)::int end,
    case when (h2 & 48) > 0 then ((h2 >> 20) & 4194303)::int end,
    case when operation = 'error' then 'TimeoutError' end,
    case when operation = 'error' then 'no answer from redis within ' || ((h2 >> 40) & 4095) || ' ms' end,
    (
        '{{"ttl_s": ' || ((h3 >> 4) & 4095) || ', "shard": "shard-' || ((h3 >> 16) & 31) || '", "trace": "' || to_hex(h3)
        || '", "codec": "msgpack", "compressed": ' || case when (h3 & 1) = 0 then 'true' else 'false' end
        || ', "namespace": "production/eu-central-1/conversations", "evicted_keys": [' || ((h3 >> 20) & 255)
        || ', ' || ((h3 >> 28) & 255) || '], "client": "cache-manager/2.4.' || ((h3 >> 36) & 15) || '"'
        || case when (h3 & 6) = 0 then ', "session_id": "sess_' || to_hex((h3 >> 40) & 16383) || '"' else '' end
        || case when (h3 & 14) = 2 then ', "user_id": "user_' || ((h3 >> 40) & 511) || '"' else '' end || '}}'
    )::jsonb,
    event_time
from
    generate_series(%(first)s::bigint, %(last)s::bigint) as g
    cross join lateral (
        select
            hashint8extended(g, %(seed)s::bigint * 16 + 6) as h1,
            hashint8extended(g, %(seed)s::bigint * 16 + 7) as h2,
            hashint8extended(g, %(seed)s::bigint * 16 + 8) as h3
    ) as hashes
    cross join lateral (
        select
            (array['hit', 'hit', 'hit', 'hit', 'miss', 'miss', 'set', 'set', 'evict', 'error'])[1 + mod(h3 & 1023, 10)] as operation,
            %(start)s::timestamptz + interval '1 microsecond'
            * floor((g - 1 + (h2 & 1048575) / 1048576.0::float8) / %(total)s * %(microseconds)s) as event_time
    ) as operations
