-- Drop what legacy/indexes builds, so that loading fills heaps and keys only; the generator builds them again.
-- locks: ACCESS EXCLUSIVE on each table
drop index if exists
    monitoring.idx_monitoring_events_timestamp, monitoring.idx_monitoring_events_type,
    monitoring.idx_monitoring_events_source, monitoring.idx_monitoring_events_created_at,
    monitoring.idx_monitoring_events_type_source,
    monitoring.idx_validation_metrics_type, monitoring.idx_validation_metrics_created_at,
    monitoring.idx_validation_metrics_flush, monitoring.idx_validation_metrics_type_created,
    monitoring.idx_cache_metrics_timestamp, monitoring.idx_cache_metrics_operation,
    monitoring.idx_cache_metrics_implementation, monitoring.idx_cache_metrics_errors,
    monitoring.idx_events_timestamp, monitoring.idx_events_type, monitoring.idx_events_created_at,
    monitoring.idx_dlq_status, monitoring.idx_dlq_created_at, monitoring.idx_dlq_status_created,
    monitoring.idx_dlq_pending_retry;
