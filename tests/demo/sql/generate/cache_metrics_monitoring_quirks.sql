-- Add the odd rows of cache_metrics_monitoring: metadata of every kind, long keys, NULL times, ids of monitoring_events.
-- literals: as_of
-- locks: ROW EXCLUSIVE on cache_metrics_monitoring
insert into monitoring.cache_metrics_monitoring (
    id, cache_key, operation_type, implementation_type, response_time_ms, cache_size,
    error_type, error_message, metadata, timestamp
)
select
    overlay(overlay(md5('cache_metrics_monitoring ' || label) placing '4' from 13) placing '8' from 17)::uuid,
    cache_key,
    operation,
    'legacy',
    response_time,
    cache_size,
    error_type,
    error_message,
    metadata,
    event_time
from (
    select 'metadata ' || n, 'odd_metadata', 'hit', 1, 1, null, null, document, at from quirk_documents
    union all
    select 'text ' || n, text, 'error', null, null, text, text, '{{}}', at from quirk_texts
    union all
    select 'time ' || n, 'odd_time', 'miss', 0, 0, null, null, '{{}}', at from quirk_times
    union all
    select 'null time ' || n, 'null_time', 'set', 5, n, null, null, '{{"ttl_s": 5}}', null from generate_series(1, 3) as n
    union all
    select
        'null metadata ' || n, 'null_metadata', 'evict', null, n, null, null, null, {as_of}::timestamptz - interval '9 hours' * n
    from generate_series(1, 3) as n
    union all
    select 'long ' || n, repeat('k', n), 'set', 0, null, null, null, '{{}}', {as_of}::timestamptz - interval '1 hour'
    from unnest(array[500, 501, 5000, 100000]) as n
    union all
    select 'size ' || n, 'odd_size', 'set', 2147483647, n, null, null, '{{}}', {as_of}::timestamptz - interval '1 hour'
    from unnest(array[-2147483648, -1, 0, 2147483647]) as n
    union all
    select 'twin ' || n, 'twin', 'hit', 3, 3, null, null, '{{}}', {as_of}::timestamptz - interval '2 hours'
    from generate_series(1, 2) as n
) as rows (label, cache_key, operation, response_time, cache_size, error_type, error_message, metadata, event_time);

-- The first three have the time of their twin in monitoring_events as well, so only one of each can be kept.
insert into monitoring.cache_metrics_monitoring (id, cache_key, operation_type, implementation_type, metadata, timestamp)
select
    overlay(overlay(md5('shared ' || n) placing '4' from 13) placing '8' from 17)::uuid,
    case when n <= 3 then 'shared_id_and_time' else 'shared_id' end,
    'hit',
    'new',
    '{{}}',
    {as_of}::timestamptz - interval '1 hour' * n + case when n <= 3 then interval '0' else interval '1 microsecond' end
from generate_series(1, 6) as n;

insert into monitoring.cache_metrics_monitoring (id, cache_key, operation_type, implementation_type, metadata, timestamp)
values
('00000002-0000-8000-8000-000000000002', 'id_like_ours', 'hit', 'new', '{{}}', {as_of}::timestamptz - interval '3 hours'),
('00000004-0000-8000-9000-000000000001', 'id_like_ours', 'hit', 'new', '{{}}', {as_of}::timestamptz - interval '3 hours'),
('00000002-8000-8000-8000-000000000002', 'id_almost_like_ours', 'hit', 'new', '{{}}', {as_of}::timestamptz - interval '3 hours');
