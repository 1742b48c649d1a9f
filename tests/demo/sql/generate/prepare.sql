-- Expand the document file into temporary tables: every odd JSON value, text and time that real rows show.
-- literals: documents, start, as_of
-- locks: none on permanent relations
create temporary table quirk_documents on commit drop as
with given (kind, n, value) as (
    select groups.key, items.n, items.value
    from jsonb_each({documents}::jsonb) as groups, jsonb_array_elements(groups.value) with ordinality as items (value, n)
),
identifiers (n, value) as (
    select n, value from given where kind = 'identifiers'
    union all
    select 100 + n, to_jsonb(text)
    from unnest(array[
        repeat('x', 100), repeat('x', 101), repeat('x', 1000), repeat(U&'\+01F600', 100), repeat(U&'\+01F600', 101)
    ]) with ordinality as long (text, n)
),
sources (n, value) as (
    select n, value from identifiers
    union all
    select 200 + n, to_jsonb(text)
    from unnest(array[repeat('s', 499), repeat('s', 500), repeat('s', 501), repeat(U&'\+01F600', 500)])
    with ordinality as long (text, n)
),
documents (part, n, document) as (
    select 1, n, value from given where kind = 'documents'
    union all
    select 2, n, jsonb_build_object('duration_ms', value, 'response_time_ms', value, 'data_size_bytes', value)
    from given where kind = 'numbers'
    union all
    select 3, n, jsonb_build_object('severity', value) from given where kind = 'severities'
    union all
    select 4, n, jsonb_build_object('level', value, 'severity', 'unknown') from given where kind = 'severities'
    union all
    select 5, n, jsonb_build_object('correlation_id', value, 'user_id', value, 'session_id', value) from identifiers
    union all
    select 6, n, jsonb_build_object('source', value) from sources
)
select
    row_number() over (order by part, n) as n,
    document,
    {start}::timestamptz + ({as_of}::timestamptz - {start}::timestamptz)
    * mod((row_number() over (order by part, n)) * 0.6180339887, 1)::float8 as at
from documents;

create temporary table quirk_texts on commit drop as
select
    items.n,
    items.text,
    {start}::timestamptz + ({as_of}::timestamptz - {start}::timestamptz) * mod(items.n * 0.7548776662, 1)::float8 as at
from jsonb_array_elements_text({documents}::jsonb -> 'texts') with ordinality as items (text, n);

create temporary table quirk_times on commit drop as
select
    ordinality as n,
    at
from unnest(array[
    'infinity', '-infinity', '0044-03-15 12:00:00+00 BC', '1970-01-01 00:00:00+00', '1999-12-31 23:59:59.999999+00',
    '2999-01-01 00:00:00+00', '9999-12-31 23:59:59.999999+00', '294276-12-31 00:00:00+00',
    {as_of}::timestamptz + interval '90 seconds', {as_of}::timestamptz + interval '6 hours',
    date_trunc('day', {as_of}::timestamptz, 'UTC') - interval '1 day',
    date_trunc('day', {as_of}::timestamptz, 'UTC') - interval '1 microsecond'
]::timestamptz []) with ordinality as times (at, ordinality);
