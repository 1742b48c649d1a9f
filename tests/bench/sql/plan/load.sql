-- The plan's own data migration: one INSERT of a UNION ALL over the five tables, in one transaction.
-- Corrected only so that it ends: rows without a partition, too long types and second places of an id and time are left
-- out; numbers in JSON are read where they are integers; a bigint key becomes a uuid by the cheapest expression.
-- params: lower, upper, zone, doubled
-- locks: ROW EXCLUSIVE on the parent and every partition, ACCESS SHARE on the five tables
insert into plan.event_metric_events (
    id, event_type, event_category, source_system, event_timestamp, created_at, event_data, event_metrics, event_metadata,
    severity, status, priority, retry_count, max_retries, resolved_at, duration_ms, data_size_bytes, response_time_ms,
    correlation_id, user_id, session_id
)
select
    m.id,
    m.event_type,
    'monitoring',
    m.source,
    m.timestamp,
    coalesce(m.created_at, m.timestamp),
    m.data,
    '{{}}'::jsonb,
    m.metadata,
    case coalesce(m.data ->> 'severity', m.data ->> 'level')
        when 'error' then 'error' when 'warn' then 'warning' when 'warning' then 'warning' when 'FATAL' then 'critical' else 'info'
    end,
    case coalesce(m.data ->> 'severity', m.data ->> 'level') when 'error' then 'failed' when 'FATAL' then 'failed' else 'success' end,
    0,
    0,
    3,
    null::timestamptz,
    case when pg_input_is_valid(m.data ->> 'duration_ms', 'int4') then (m.data ->> 'duration_ms')::integer end,
    case when pg_input_is_valid(m.data ->> 'data_size_bytes', 'int4') then (m.data ->> 'data_size_bytes')::integer end,
    case when pg_input_is_valid(m.data ->> 'response_time_ms', 'int4') then (m.data ->> 'response_time_ms')::integer end,
    left(m.data ->> 'correlation_id', 100),
    left(m.data ->> 'user_id', 100),
    left(m.data ->> 'session_id', 100)
from monitoring.monitoring_events as m
where m.timestamp >= %(lower)s and m.timestamp < %(upper)s
union all
select
    ('0000000200008000' || to_hex(v.id | (-9223372036854775808)::bigint))::uuid,
    v.event_type,
    'validation',
    'supabase',
    v.flush_timestamp at time zone %(zone)s,
    v.created_at at time zone %(zone)s,
    '{{}}'::jsonb,
    jsonb_build_object(
        'total_events', v.total_events,
        'passed_events', v.passed_events,
        'failed_events', v.failed_events,
        'pass_rate', v.pass_rate,
        'avg_validation_time_ms', v.avg_validation_time_ms,
        'total_errors', v.total_errors,
        'total_warnings', v.total_warnings
    ),
    '{{}}'::jsonb,
    case when v.total_errors > 0 then 'error' when v.total_warnings > 0 then 'warning' else 'info' end,
    case when v.failed_events > 0 then 'failed' else 'success' end,
    0,
    0,
    3,
    null,
    case when v.avg_validation_time_ms between 0 and 2147483647 then v.avg_validation_time_ms::integer end,
    null,
    null,
    null,
    null,
    null
from monitoring.validation_metrics as v
where v.flush_timestamp at time zone %(zone)s >= %(lower)s and v.flush_timestamp at time zone %(zone)s < %(upper)s
union all
select
    c.id,
    'cache_' || c.operation_type,
    'cache',
    'cache',
    c.timestamp,
    c.timestamp,
    jsonb_strip_nulls(jsonb_build_object(
        'cache_key', c.cache_key,
        'implementation_type', c.implementation_type,
        'error_type', c.error_type,
        'error_message', c.error_message
    )),
    jsonb_strip_nulls(jsonb_build_object('cache_size', c.cache_size)),
    coalesce(case jsonb_typeof(c.metadata) when 'object' then c.metadata end, '{{}}'),
    case c.operation_type when 'error' then 'error' else 'info' end,
    case c.operation_type when 'error' then 'failed' else 'success' end,
    0,
    0,
    3,
    null,
    null,
    null,
    c.response_time_ms,
    left(c.metadata ->> 'correlation_id', 100),
    left(c.metadata ->> 'user_id', 100),
    left(c.metadata ->> 'session_id', 100)
from monitoring.cache_metrics_monitoring as c
where c.timestamp >= %(lower)s and c.timestamp < %(upper)s and c.id <> all(%(doubled)s::uuid[])
union all
select
    ('0000000400008000' || to_hex(e.id | (-9223372036854775808)::bigint))::uuid,
    e.type,
    'monitoring',
    coalesce(left(e.data ->> 'source', 500), 'supabase'),
    e.timestamp,
    e.created_at,
    e.data,
    '{{}}'::jsonb,
    '{{}}'::jsonb,
    case coalesce(e.data ->> 'severity', e.data ->> 'level')
        when 'error' then 'error' when 'warn' then 'warning' when 'warning' then 'warning' when 'FATAL' then 'critical' else 'info'
    end,
    case coalesce(e.data ->> 'severity', e.data ->> 'level') when 'error' then 'failed' when 'FATAL' then 'failed' else 'success' end,
    0,
    0,
    3,
    null,
    case when pg_input_is_valid(e.data ->> 'duration_ms', 'int4') then (e.data ->> 'duration_ms')::integer end,
    case when pg_input_is_valid(e.data ->> 'data_size_bytes', 'int4') then (e.data ->> 'data_size_bytes')::integer end,
    case when pg_input_is_valid(e.data ->> 'response_time_ms', 'int4') then (e.data ->> 'response_time_ms')::integer end,
    left(e.data ->> 'correlation_id', 100),
    left(e.data ->> 'user_id', 100),
    left(e.data ->> 'session_id', 100)
from monitoring.events as e
where e.timestamp >= %(lower)s and e.timestamp < %(upper)s and length(e.type) <= 500
union all
select
    ('0000000500008000' || to_hex(d.id | (-9223372036854775808)::bigint))::uuid,
    'dead_letter',
    'dlq',
    'supabase',
    d.created_at,
    d.created_at,
    jsonb_build_object(
        'payload', d.original_payload, 'failure_reason', d.failure_reason, 'last_retry_at', d.last_retry_at
    ),
    '{{}}'::jsonb,
    '{{}}'::jsonb,
    case d.status when 'failed' then 'critical' when 'recovered' then 'info' else 'error' end,
    case d.status when 'retrying' then 'retry' when 'recovered' then 'success' when 'failed' then 'failed' else 'pending' end,
    case d.status when 'failed' then 10 else 5 end,
    coalesce(d.retry_count, 0),
    coalesce(d.max_retries, 5),
    d.recovered_at,
    null,
    null,
    null,
    left(d.original_payload ->> 'correlation_id', 100),
    left(d.original_payload ->> 'user_id', 100),
    left(d.original_payload ->> 'session_id', 100)
from monitoring.dlq_table as d
where d.created_at >= %(lower)s and d.created_at < %(upper)s
