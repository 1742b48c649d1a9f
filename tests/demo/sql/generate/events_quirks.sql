-- Add the odd rows of events: data of every kind, types of any length, the same row twice.
-- literals: as_of, seed, large, regular
-- locks: ROW EXCLUSIVE on events
select setval('monitoring.events_id_seq', greatest({regular}, 1), {regular} > 0);

insert into monitoring.events (type, data, timestamp, created_at)
select type, data, event_time, created_at
from (
    select 1, n, 'odd_data', document, at, at from quirk_documents
    union all
    select 2, n, text, jsonb_build_object('text', text), at, at from quirk_texts
    union all
    select 3, n, 'odd_time', '{{"odd": "time"}}', at, {as_of} from quirk_times
    union all
    select 4, n, 'odd_created_at', '{{}}', {as_of}::timestamptz - interval '1 hour' * n, at from quirk_times
    union all
    select 5, n, repeat('t', n), '{{}}', {as_of}::timestamptz - interval '4 hours', {as_of}
    from unnest(array[51, 499, 500, 501, 502, 2000, 10000]) as n
    union all
    select 6, n, repeat(U&'\+01F600', n), '{{}}', {as_of}::timestamptz - interval '4 hours', {as_of}
    from unnest(array[500, 501]) as n
    union all
    select
        7, n, 'twin', '{{"duration_ms": 4}}', {as_of}::timestamptz - interval '1 hour' * (n / 2),
        {as_of}::timestamptz - interval '1 hour' * (n / 2)
    from generate_series(2, 7) as n
    union all
    select
        8, n, 'large_payload', jsonb_build_object('level', 'error', 'blob', blob),
        {as_of}::timestamptz - interval '5 hours' * n, {as_of}
    from
        generate_series(2, {large}::int, 3) as n,
        lateral (select string_agg(md5(n || ' ' || i || ' ' || {seed}), '') as blob from generate_series(1, 32768) as i) as blobs
) as rows (part, n, type, data, event_time, created_at)
order by part, n;
