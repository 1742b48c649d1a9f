-- Return one number for the content of each legacy table, equal on every server for equal rows.
-- locks: ACCESS SHARE on each table
select 'monitoring_events', count(*), sum(hashtextextended(to_jsonb(t)::text, 0)::numeric) from monitoring.monitoring_events as t
union all
select 'validation_metrics', count(*), sum(hashtextextended(to_jsonb(t)::text, 0)::numeric) from monitoring.validation_metrics as t
union all
select 'cache_metrics_monitoring', count(*), sum(hashtextextended(to_jsonb(t)::text, 0)::numeric)
from monitoring.cache_metrics_monitoring as t
union all
select 'events', count(*), sum(hashtextextended(to_jsonb(t)::text, 0)::numeric) from monitoring.events as t
union all
select 'dlq_table', count(*), sum(hashtextextended(to_jsonb(t)::text, 0)::numeric) from monitoring.dlq_table as t
