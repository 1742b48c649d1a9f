-- Add the odd rows of monitoring_events: JSON, texts, times, NULLs, ids shared with the cache table and ids like ours.
-- literals: as_of, seed, large
-- locks: ROW EXCLUSIVE on monitoring_events
insert into monitoring.monitoring_events (id, event_type, timestamp, source, data, metadata, created_at)
select
    overlay(overlay(md5('monitoring_events ' || label) placing '4' from 13) placing '8' from 17)::uuid,
    event_type,
    event_time,
    source,
    data,
    metadata,
    created_at
from (
    select 'data ' || n, 'odd_data', at, 'quirks', document, '{{}}'::jsonb, at from quirk_documents
    union all
    select 'metadata ' || n, 'odd_metadata', at, 'quirks', '{{}}', document, at from quirk_documents
    union all
    select
        'fallback ' || n, 'odd_fallback', at, 'quirks', document,
        '{{"correlation_id": "from metadata", "user_id": "from metadata", "session_id": "from metadata"}}', at
    from quirk_documents where document ? 'correlation_id'
    union all
    select 'text ' || n, left(text, 50), at, left(text, 100), jsonb_build_object('text', text), '{{}}', at from quirk_texts
    union all
    select 'time ' || n, 'odd_time', at, 'quirks', '{{"odd": "time"}}', '{{}}', {as_of} from quirk_times
    union all
    select 'created ' || n, 'odd_created_at', {as_of}::timestamptz - interval '1 hour' * n, 'quirks', '{{}}', '{{}}', at
    from quirk_times
    union all
    select 'null ' || n, 'null_created_at', {as_of}::timestamptz - interval '7 hours' * n, 'quirks', '{{}}', '{{}}', null
    from generate_series(1, 3) as n
    union all
    select
        'long ' || n, repeat('t', least(n, 50)), {as_of}::timestamptz - interval '1 minute' * n, repeat('s', n), '{{}}', '{{}}',
        {as_of}
    from unnest(array[1, 50, 51, 99, 100]) as n
    union all
    select
        'wide ' || n, repeat(U&'\+01F600', 50), {as_of}::timestamptz - interval '1 hour' * n, repeat(U&'\+01F600', 100), '{{}}',
        '{{}}', {as_of}
    from generate_series(1, 2) as n
    union all
    select
        'twin ' || n, 'twin', {as_of}::timestamptz - interval '2 hours', 'quirks', '{{"severity": "error"}}', '{{}}',
        {as_of}::timestamptz - interval '2 hours'
    from generate_series(1, 2) as n
    union all
    select
        'large ' || n, 'large_payload', {as_of}::timestamptz - interval '5 hours' * n, 'quirks',
        jsonb_build_object('severity', 'warning', 'blob', blob), '{{}}', {as_of}
    from
        generate_series(1, {large}::int, 3) as n,
        lateral (select string_agg(md5(n || ' ' || i || ' ' || {seed}), '') as blob from generate_series(1, 32768) as i) as blobs
) as rows (label, event_type, event_time, source, data, metadata, created_at);

insert into monitoring.monitoring_events (id, event_type, timestamp, source, data, metadata, created_at)
select
    overlay(overlay(md5('shared ' || n) placing '4' from 13) placing '8' from 17)::uuid,
    case when n <= 3 then 'shared_id_and_time' else 'shared_id' end,
    {as_of}::timestamptz - interval '1 hour' * n,
    'quirks',
    jsonb_build_object('copied', n),
    '{{}}',
    {as_of}::timestamptz - interval '1 hour' * n
from generate_series(1, 6) as n;

insert into monitoring.monitoring_events (id, event_type, timestamp, source, data, created_at)
select id::uuid, event_type, {as_of}::timestamptz - interval '3 hours', 'quirks', '{{}}', {as_of}
from (
    values
    ('00000002-0000-8000-8000-000000000001', 'id_like_ours'),
    ('00000002-0000-8000-bfff-ffffffffffff', 'id_like_ours'),
    ('00000002-0000-8000-c000-000000000001', 'id_almost_like_ours'),
    ('00000002-0000-4000-8000-000000000001', 'id_almost_like_ours'),
    ('00000002-0001-8000-8000-000000000001', 'id_almost_like_ours'),
    ('00000000-0000-0000-0000-000000000000', 'id_nil'),
    ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'id_max')
) as ids (id, event_type);
