-- Build the twenty secondary b-trees of production; dlq_table has no index on a time but created_at.
-- locks: SHARE on each table
create index idx_monitoring_events_timestamp on monitoring.monitoring_events (timestamp desc);
create index idx_monitoring_events_type on monitoring.monitoring_events (event_type, timestamp desc);
create index idx_monitoring_events_source on monitoring.monitoring_events (source, timestamp desc);
create index idx_monitoring_events_created_at on monitoring.monitoring_events (created_at desc);
create index idx_monitoring_events_type_source on monitoring.monitoring_events (event_type, source, timestamp desc);

create index idx_validation_metrics_type on monitoring.validation_metrics (event_type);
create index idx_validation_metrics_created_at on monitoring.validation_metrics (created_at desc);
create index idx_validation_metrics_flush on monitoring.validation_metrics (flush_timestamp desc);
create index idx_validation_metrics_type_created on monitoring.validation_metrics (event_type, created_at desc);

create index idx_cache_metrics_timestamp on monitoring.cache_metrics_monitoring (timestamp desc);
create index idx_cache_metrics_operation on monitoring.cache_metrics_monitoring (operation_type, timestamp desc);
create index idx_cache_metrics_implementation
on monitoring.cache_metrics_monitoring (implementation_type, timestamp desc);
create index idx_cache_metrics_errors on monitoring.cache_metrics_monitoring (operation_type, timestamp desc)
where operation_type = 'error';

create index idx_events_timestamp on monitoring.events (timestamp desc);
create index idx_events_type on monitoring.events (type, timestamp desc);
create index idx_events_created_at on monitoring.events (created_at desc);

create index idx_dlq_status on monitoring.dlq_table (status);
create index idx_dlq_created_at on monitoring.dlq_table (created_at);
create index idx_dlq_status_created on monitoring.dlq_table (status, created_at);
create index idx_dlq_pending_retry on monitoring.dlq_table (status, retry_count)
where status = 'pending' and retry_count < max_retries;
