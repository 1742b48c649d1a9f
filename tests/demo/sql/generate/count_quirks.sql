-- Count the rows that show each quirk of the specification, so that a test can miss none.
-- params: zone
-- locks: ACCESS SHARE on each table
with documents (source, document) as (
    select 'monitoring_events data', data from monitoring.monitoring_events
    union all
    select 'monitoring_events metadata', metadata from monitoring.monitoring_events
    union all
    select 'cache metadata', metadata from monitoring.cache_metrics_monitoring
    union all
    select 'events data', data from monitoring.events
    union all
    select 'dlq payload', original_payload from monitoring.dlq_table
),
texts (source, text) as (
    select 'monitoring_events source', source from monitoring.monitoring_events
    union all
    select 'monitoring_events type', event_type from monitoring.monitoring_events
    union all
    select 'validation type', event_type from monitoring.validation_metrics
    union all
    select 'cache key', cache_key from monitoring.cache_metrics_monitoring
    union all
    select 'cache error', error_message from monitoring.cache_metrics_monitoring
    union all
    select 'events type', type from monitoring.events
    union all
    select 'dlq reason', failure_reason from monitoring.dlq_table
),
times (source, time) as (
    select 'monitoring_events time', timestamp from monitoring.monitoring_events
    union all
    select 'monitoring_events created', created_at from monitoring.monitoring_events
    union all
    select 'validation flush', flush_timestamp at time zone %(zone)s from monitoring.validation_metrics
    union all
    select 'validation created', created_at at time zone %(zone)s from monitoring.validation_metrics
    union all
    select 'validation updated', updated_at at time zone %(zone)s from monitoring.validation_metrics
    union all
    select 'cache time', timestamp from monitoring.cache_metrics_monitoring
    union all
    select 'events time', timestamp from monitoring.events
    union all
    select 'events created', created_at from monitoring.events
    union all
    select 'dlq created', created_at from monitoring.dlq_table
    union all
    select 'dlq retried', last_retry_at from monitoring.dlq_table
    union all
    select 'dlq recovered', recovered_at from monitoring.dlq_table
),
floats (source, value) as (
    select 'validation rate', pass_rate from monitoring.validation_metrics
    union all
    select 'validation duration', avg_validation_time_ms from monitoring.validation_metrics
),
twins (source, rows) as (
    select 'validation_metrics', count(*) from monitoring.validation_metrics as t group by to_jsonb(t) - 'id' having count(*) > 1
    union all
    select 'events', count(*) from monitoring.events as t group by to_jsonb(t) - 'id' having count(*) > 1
    union all
    select 'dlq_table', count(*) from monitoring.dlq_table as t group by to_jsonb(t) - 'id' having count(*) > 1
),
-- A local time that exists twice is the same an hour of real time earlier.
clocks (created_at, again, an_hour_before) as (
    select
        created_at,
        created_at at time zone %(zone)s at time zone %(zone)s,
        (created_at at time zone %(zone)s - interval '1 hour') at time zone %(zone)s
    from monitoring.validation_metrics
    where isfinite(created_at)
),
counts (source, quirk, rows) as (
    select source, kinds.kind, count(*) filter (where jsonb_typeof(document) = kinds.kind)
    from documents, unnest(array['object', 'array', 'string', 'number', 'boolean', 'null']) as kinds (kind)
    group by source, kinds.kind
    union all
    select source, 'empty object', count(*) filter (where document = '{{}}') from documents group by source
    union all
    select source, 'nested object', count(*) filter (where document -> 'payload' ->> 'severity' = 'critical')
    from documents group by source
    union all
    select source, 'number as string', count(*) filter (where jsonb_typeof(document -> 'duration_ms') = 'string')
    from documents group by source
    union all
    select source, 'float', count(*) filter (where document @@ '$.duration_ms == 12.5') from documents group by source
    union all
    select
        source,
        'integral float',
        count(*) filter (where document ->> 'duration_ms' = '12.0' and jsonb_typeof(document -> 'duration_ms') = 'number')
    from documents group by source
    union all
    select source, 'negative', count(*) filter (where document @@ '$.duration_ms < 0') from documents group by source
    union all
    select source, 'past int', count(*) filter (where document @@ '$.duration_ms > 2147483647') from documents group by source
    union all
    select source, 'NaN as string', count(*) filter (where document ->> 'duration_ms' = 'NaN') from documents group by source
    union all
    select source, 'keys in other case', count(*) filter (where document ?| array['Duration_MS', 'Session_ID', 'Level'])
    from documents group by source
    union all
    select source, 'severity in odd case', count(*) filter (where document ->> 'severity' in ('eRRor', 'INFO', 'CRITICAL', 'Warning'))
    from documents group by source
    union all
    select source, 'severity warn or fatal', count(*) filter (where lower(document ->> 'severity') in ('warn', 'fatal'))
    from documents group by source
    union all
    select source, 'severity unknown', count(*) filter (where document ->> 'severity' in ('debug', 'notice', ' error', ''))
    from documents group by source
    union all
    select source, 'id of 100 and 101 characters', count(*) filter (where length(document ->> 'session_id') in (100, 101))
    from documents group by source
    union all
    select source, 'source past 500 characters', count(*) filter (where length(document ->> 'source') > 500)
    from documents group by source
    union all
    select source, 'six characters in a string', count(*) filter (where document ->> 'text' like '%%\\u0000%%')
    from documents group by source
    union all
    select source, 'emoji', count(*) filter (where document ->> 'text' like U&'%%\+01F600%%') from documents group by source
    union all
    select source, 'standard shape already', count(*) filter (where document @> '{{"version": "1.0", "schema": "standard"}}')
    from documents group by source
    union all
    select source, 'empty text', count(*) filter (where text = '') from texts group by source
    union all
    select source, 'emoji', count(*) filter (where text like U&'%%\+01F600%%') from texts group by source
    union all
    select source, 'quotes', count(*) filter (where text like '%%''%%"%%') from texts group by source
    union all
    select source, 'backslash', count(*) filter (where text like '%%\\%%') from texts group by source
    union all
    select source, 'six characters', count(*) filter (where text like '%%\\u0000%%') from texts group by source
    union all
    select source, 'infinite time', count(*) filter (where time in ('infinity', '-infinity')) from times group by source
    union all
    select source, 'far past', count(*) filter (where isfinite(time) and time < '2000-01-01 00:00:00+00') from times group by source
    union all
    select source, 'far future', count(*) filter (where isfinite(time) and time > '2900-01-01 00:00:00+00') from times group by source
    union all
    select source, 'NULL time', count(*) filter (where time is null) from times
    where source in ('monitoring_events created', 'cache time', 'dlq created')
    group by source
    union all
    select source, value.value, count(*) filter (where floats.value::text = value.value)
    from floats, unnest(array['NaN', 'Infinity', '-Infinity', '-0', '-3', '1e+300', '0.5', '2147483647.5']) as value
    group by source, value.value
    union all
    select source, 'twins', count(*) from twins group by source
    union all
    select 'monitoring_events', 'source of 51 to 100 characters', count(*) filter (where length(source) between 51 and 100)
    from monitoring.monitoring_events
    union all
    select 'monitoring_events', 'id like ours', count(*) filter (where id::text ~ '^[0-9a-f]{{8}}-0000-8000-[89ab]')
    from monitoring.monitoring_events
    union all
    select 'cache', 'id like ours', count(*) filter (where id::text ~ '^[0-9a-f]{{8}}-0000-8000-[89ab]')
    from monitoring.cache_metrics_monitoring
    union all
    select 'cache', 'id and time of monitoring_events', count(*) filter (where c.timestamp = m.timestamp)
    from monitoring.cache_metrics_monitoring as c inner join monitoring.monitoring_events as m using (id)
    union all
    select 'cache', 'id of monitoring_events at another time', count(*) filter (where c.timestamp <> m.timestamp)
    from monitoring.cache_metrics_monitoring as c inner join monitoring.monitoring_events as m using (id)
    union all
    select 'cache', 'key past 500 characters', count(*) filter (where length(cache_key) > 500) from monitoring.cache_metrics_monitoring
    union all
    select 'cache', 'NULL metadata', count(*) filter (where metadata is null) from monitoring.cache_metrics_monitoring
    union all
    select 'cache', 'negative size', count(*) filter (where cache_size < 0) from monitoring.cache_metrics_monitoring
    union all
    select 'events', 'type past 500 characters', count(*) filter (where length(type) > 500) from monitoring.events
    union all
    select 'events', 'type of 499 and 500 characters', count(*) filter (where length(type) between 499 and 500) from monitoring.events
    union all
    select 'dlq', 'NULL status', count(*) filter (where status is null) from monitoring.dlq_table
    union all
    select 'dlq', 'NULL retry_count', count(*) filter (where retry_count is null) from monitoring.dlq_table
    union all
    select 'dlq', 'NULL max_retries', count(*) filter (where max_retries is null) from monitoring.dlq_table
    union all
    select 'dlq', 'negative retry_count', count(*) filter (where retry_count < 0) from monitoring.dlq_table
    union all
    select 'validation', 'local time that its zone does not have', count(*) filter (where again <> created_at) from clocks
    union all
    select 'validation', 'local time that its zone has twice', count(*) filter (where again = created_at and an_hour_before = created_at)
    from clocks
    union all
    select 'any', 'payload of a megabyte', (
        (select count(*) from monitoring.monitoring_events where octet_length(data::text) > 1000000)
        + (select count(*) from monitoring.events where octet_length(data::text) > 1000000)
        + (select count(*) from monitoring.dlq_table where octet_length(original_payload::text) > 1000000)
    )
)
select source, quirk, rows from counts order by source, quirk
