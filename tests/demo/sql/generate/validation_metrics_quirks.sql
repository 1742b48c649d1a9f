-- Add the odd rows of validation_metrics: floats, counters, and local times that the zone does not have or has twice.
-- literals: start, as_of, zone, regular
-- locks: ROW EXCLUSIVE on validation_metrics
select setval('monitoring.validation_metrics_id_seq', greatest({regular}, 1), {regular} > 0);

insert into monitoring.validation_metrics (
    event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
select
    'odd_float', 10, 10, 0, value, value, 0, 0,
    ({as_of}::timestamptz - interval '1 hour' * n * copy) at time zone {zone},
    ({as_of}::timestamptz - interval '1 hour' * n) at time zone {zone},
    ({as_of}::timestamptz - interval '1 hour' * n) at time zone {zone}
from unnest(array[
    'NaN', '-NaN', 'Infinity', '-Infinity', '-0', '0', '-3', '-0.4', '-0.5', '0.49999999999999994', '0.5', '1.5', '2.5',
    '2147483646.5', '2147483647.4', '2147483647.5', '2147483648', '1e300', '-1e300', '5e-324', '0.30000000000000004',
    '4503599627370497.5', '1e15', '1e16', '123456789.12345679', '100'
]::float8 []) with ordinality as floats (value, n), generate_series(1, 2) as copy
order by copy, n;

insert into monitoring.validation_metrics (
    event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
select
    'odd_counter', total, passed, failed, 50, 1, errors, warnings,
    {as_of}::timestamptz at time zone {zone} - interval '1 day',
    {as_of}::timestamptz at time zone {zone} - interval '1 day',
    {as_of}::timestamptz at time zone {zone}
from (
    values
    (1, 0, 0, 0, 0, 0), (2, -1, -1, -1, -1, -1), (3, 5, 5, 0, -1, 1), (4, 5, 5, 0, 1, -1), (5, 5, 5, -1, 0, 0),
    (6, 2147483647, 2147483647, 2147483647, 2147483647, 2147483647),
    (7, -2147483648, -2147483648, -2147483648, -2147483648, -2147483648),
    (8, 5, 4, 1, 0, 0), (9, 5, 5, 0, 0, 3), (10, 5, 5, 0, 2, 3)
) as counters (n, total, passed, failed, errors, warnings)
order by n;

insert into monitoring.validation_metrics (
    event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
select event_type, 1, 1, 0, 100, 1, 0, 0, flushed, created, updated
from (
    select
        1 as part, n, 'odd_time' as event_type, at at time zone {zone} as flushed,
        {as_of}::timestamptz at time zone {zone} as created, {as_of}::timestamptz at time zone {zone} as updated
    from quirk_times
    union all
    select
        2, n, 'odd_created_at', {as_of}::timestamptz at time zone {zone} - interval '1 hour' * n, at at time zone {zone},
        at at time zone {zone}
    from quirk_times
    union all
    select 3, n, left(text, 50), at at time zone {zone}, at at time zone {zone}, at at time zone {zone} from quirk_texts
    union all
    select
        4, n, repeat('t', 50), {as_of}::timestamptz at time zone {zone} - interval '1 day' * n,
        {as_of}::timestamptz at time zone {zone}, {as_of}::timestamptz at time zone {zone}
    from generate_series(1, 2) as n
    union all
    select
        5, n, 'twin', {as_of}::timestamptz at time zone {zone} - interval '2 days', {as_of}::timestamptz at time zone {zone},
        {as_of}::timestamptz at time zone {zone}
    from generate_series(1, 2) as n
) as rows
order by part, n;

-- The last Sunday of March has no 02:00 to 03:00 in Europe, that of October has it twice: as created_at and updated_at in any
-- case, as flush_timestamp where the change lies inside the generated days.
insert into monitoring.validation_metrics (
    event_type, total_events, passed_events, failed_events, pass_rate, avg_validation_time_ms,
    total_errors, total_warnings, flush_timestamp, created_at, updated_at
)
select
    case when is_within then 'changed_clock_flush' else 'changed_clock' end,
    1, 1, 0, 100, 1, 0, 0,
    case when is_within then local_time else {as_of}::timestamptz at time zone {zone} - interval '1 hour' * n end,
    local_time,
    local_time
from (
    select
        row_number() over (order by clock_change + of_day) as n,
        clock_change + of_day as local_time,
        clock_change + of_day > {start}::timestamptz at time zone 'UTC' + interval '1 day'
        and clock_change + of_day < {as_of}::timestamptz at time zone 'UTC' - interval '1 day' as is_within
    from
        generate_series(
            extract(year from {as_of}::timestamptz at time zone 'UTC')::int - 1,
            extract(year from {as_of}::timestamptz at time zone 'UTC')::int
        ) as year,
        unnest(array[3, 10]) as month,
        lateral (
            select make_date(year, month, 31) - extract(dow from make_date(year, month, 31))::int as clock_change
        ) as changes,
        unnest(array['01:59:59.999999', '02:00', '02:30', '02:30', '02:59:59.999999', '03:00']::time []) as of_day
) as clocks
order by n;
