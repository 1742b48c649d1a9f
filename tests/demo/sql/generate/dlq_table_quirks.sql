-- Add the odd rows of dlq_table: payloads of every kind, NULLs wherever a column takes one, times in any order.
-- literals: as_of, seed, large, regular
-- locks: ROW EXCLUSIVE on dlq_table
select setval('monitoring.dlq_table_id_seq', greatest({regular}, 1), {regular} > 0);

insert into monitoring.dlq_table (
    original_payload, failure_reason, retry_count, max_retries, created_at, last_retry_at, recovered_at, status
)
select payload, reason, retries, most, created, retried, recovered, status
from (
    select 1, n, document, 'odd_payload', 0, 5, at, null::timestamptz, null::timestamptz, 'pending' from quirk_documents
    union all
    select 2, n, to_jsonb(text), text, 1, 5, at, at + interval '1 minute', null, 'retrying' from quirk_texts
    union all
    select 3, n, '{{"odd": "time"}}', 'odd_time', 0, 5, at, null, null, 'failed' from quirk_times
    union all
    select 4, n, '{{}}', 'odd_other_times', 2, 5, {as_of}::timestamptz - interval '1 hour' * n, at, at, 'recovered' from quirk_times
    union all
    select 5, n, '{{}}', 'null_created_at', 0, 5, null, null, null, 'pending' from generate_series(1, 3) as n
    union all
    select
        6, n, '{{"nulls": true}}', null, nullif(n & 1, 0), nullif((n & 2) / 2 * 5, 0),
        {as_of}::timestamptz - interval '6 hours', null, null, case when n & 4 > 0 then 'failed' end
    from generate_series(0, 7) as n
    union all
    select
        7, n, '{{}}', 'odd_counter', (array[-1, -2147483648, 2147483647, 5, 0])[n],
        (array[0, -2147483648, 2147483647, 5, 2147483647])[n], {as_of}::timestamptz - interval '1 hour' * n, null, null, 'retrying'
    from generate_series(1, 5) as n
    union all
    select
        8, n, '{{"twin": true}}', 'twin', 0, 5, {as_of}::timestamptz - interval '2 hours', null, null, 'pending'
    from generate_series(1, 2) as n
    union all
    select
        9, n, jsonb_build_array('large_payload', blob), 'large_payload', 5, 5, {as_of}::timestamptz - interval '5 hours' * n,
        null, null, 'failed'
    from
        generate_series(3, {large}::int, 3) as n,
        lateral (select string_agg(md5(n || ' ' || i || ' ' || {seed}), '') as blob from generate_series(1, 32768) as i) as blobs
) as rows (part, n, payload, reason, retries, most, created, retried, recovered, status)
order by part, n;
