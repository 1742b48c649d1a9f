-- Count the rows that the specification sends to quarantine, by table and reason; independent of the mapping.
-- params: lower, upper, zone
-- locks: ACCESS SHARE on each table
with times (source, id, time, type, is_reserved, is_taken) as (
    select 'monitoring.monitoring_events', id::text, timestamp, event_type, id::text ~ '^[0-9a-f]{{8}}-0000-8000-[89ab]', false
    from monitoring.monitoring_events
    union all
    select 'monitoring.validation_metrics', id::text, flush_timestamp at time zone %(zone)s, event_type, false, false
    from monitoring.validation_metrics
    union all
    select
        'monitoring.cache_metrics_monitoring', c.id::text, c.timestamp, operation_type,
        c.id::text ~ '^[0-9a-f]{{8}}-0000-8000-[89ab]', coalesce(c.timestamp = m.timestamp, false)
    from monitoring.cache_metrics_monitoring as c left join monitoring.monitoring_events as m on c.id = m.id
    union all
    select 'monitoring.events', id::text, timestamp, type, false, false from monitoring.events
    union all
    select 'monitoring.dlq_table', id::text, created_at, '', false, false from monitoring.dlq_table
),
judged as (
    select
        source,
        case
            when is_reserved then 'id looks like one of maintenance''s own'
            when length(type) > 500 then 'event_type is longer than 500 characters'
            when time is null then 'event time is null'
            when not isfinite(time) then 'event time is infinite'
            when time < %(lower)s::timestamptz or time >= %(upper)s::timestamptz then 'event time is outside the span'
            when is_taken then 'collision with monitoring.monitoring_events'
        end as reason
    from times
)
select source, reason, count(*) as rows
from judged
where reason is not null
group by source, reason
order by source, reason
