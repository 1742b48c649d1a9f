-- The three dashboards of the plan, each with a unique index so that it can be refreshed concurrently (D7).
-- A group is known by the hash of its names: two names of 500 characters would not fit into one entry of a b-tree.
-- Names are qualified throughout: PostgreSQL 17 refreshes under a safe search_path. Filled by refresh_matviews.
create materialized view unified.mv_recent_events as
select
    sha256(convert_to(jsonb_build_array(g.event_type, g.event_category, g.source_system, g.severity)::text, 'UTF8')) as group_key,
    g.event_type,
    g.event_category,
    g.source_system,
    g.severity,
    g.event_count,
    g.avg_duration_ms,
    g.last_event
from (
    select
        e.event_type,
        e.event_category,
        e.source_system,
        e.severity,
        count(*) as event_count,
        avg(e.duration_ms) as avg_duration_ms,
        max(e.event_timestamp) as last_event
    from unified.event_metric_events as e
    where e.event_timestamp > now() - interval '24 hours'
    group by e.event_type, e.event_category, e.source_system, e.severity
) as g
with no data;
create unique index mv_recent_events_key on unified.mv_recent_events (group_key);

create materialized view unified.mv_error_summary as
select
    sha256(convert_to(jsonb_build_array(g.event_type, g.source_system)::text, 'UTF8')) as group_key,
    g.event_type,
    g.source_system,
    g.total_errors,
    g.failed_count,
    g.resolved_count,
    g.avg_retries
from (
    select
        e.event_type,
        e.source_system,
        count(*) as total_errors,
        count(*) filter (where e.status = 'failed') as failed_count,
        count(*) filter (where e.status = 'success') as resolved_count,
        avg(e.retry_count) as avg_retries
    from unified.event_metric_events as e
    where e.event_timestamp > now() - interval '7 days' and e.severity in ('error', 'critical')
    group by e.event_type, e.source_system
) as g
with no data;
create unique index mv_error_summary_key on unified.mv_error_summary (group_key);

create materialized view unified.mv_performance_metrics as
select
    sha256(convert_to(jsonb_build_array(g.source_system, g.event_type)::text, 'UTF8')) as group_key,
    g.source_system,
    g.event_type,
    g.event_count,
    g.avg_duration_ms,
    g.avg_response_time_ms,
    g.max_duration_ms,
    g.min_duration_ms
from (
    select
        e.source_system,
        e.event_type,
        count(*) as event_count,
        avg(e.duration_ms) as avg_duration_ms,
        avg(e.response_time_ms) as avg_response_time_ms,
        max(e.duration_ms) as max_duration_ms,
        min(e.duration_ms) as min_duration_ms
    from unified.event_metric_events as e
    where e.event_timestamp > now() - interval '1 hour'
    group by e.source_system, e.event_type
) as g
with no data;
create unique index mv_performance_metrics_key on unified.mv_performance_metrics (group_key);

-- A materialized view has no row level security, so no API role gets any right on it (D8).
revoke all on unified.mv_recent_events, unified.mv_error_summary, unified.mv_performance_metrics
from public, anon, authenticated, service_role;

comment on materialized view unified.mv_recent_events is 'Events of the last 24 hours by type, category, source and severity.';
comment on column unified.mv_recent_events.group_key is 'Hash of the grouping columns; the unique key of a concurrent refresh.';
comment on column unified.mv_recent_events.event_type is 'Grouping column.';
comment on column unified.mv_recent_events.event_category is 'Grouping column.';
comment on column unified.mv_recent_events.source_system is 'Grouping column.';
comment on column unified.mv_recent_events.severity is 'Grouping column.';
comment on column unified.mv_recent_events.event_count is 'Events in the group.';
comment on column unified.mv_recent_events.avg_duration_ms is 'Mean duration of those that were measured.';
comment on column unified.mv_recent_events.last_event is 'Time of the newest event in the group.';

comment on materialized view unified.mv_error_summary is 'Errors of the last 7 days (severity error or critical) by type and source.';
comment on column unified.mv_error_summary.group_key is 'Hash of the grouping columns; the unique key of a concurrent refresh.';
comment on column unified.mv_error_summary.event_type is 'Grouping column.';
comment on column unified.mv_error_summary.source_system is 'Grouping column.';
comment on column unified.mv_error_summary.total_errors is 'Errors in the group.';
comment on column unified.mv_error_summary.failed_count is 'Those with status failed.';
comment on column unified.mv_error_summary.resolved_count is 'Those with status success.';
comment on column unified.mv_error_summary.avg_retries is 'Mean number of retries.';

comment on materialized view unified.mv_performance_metrics is 'Durations of the last hour by source and type.';
comment on column unified.mv_performance_metrics.group_key is 'Hash of the grouping columns; the unique key of a concurrent refresh.';
comment on column unified.mv_performance_metrics.source_system is 'Grouping column.';
comment on column unified.mv_performance_metrics.event_type is 'Grouping column.';
comment on column unified.mv_performance_metrics.event_count is 'Events in the group.';
comment on column unified.mv_performance_metrics.avg_duration_ms is 'Mean duration of those that were measured.';
comment on column unified.mv_performance_metrics.avg_response_time_ms is 'Mean response time of those that were measured.';
comment on column unified.mv_performance_metrics.max_duration_ms is 'Longest duration.';
comment on column unified.mv_performance_metrics.min_duration_ms is 'Shortest duration.';
