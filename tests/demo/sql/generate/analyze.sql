-- Give the planner statistics of the freshly loaded tables, as autovacuum would have done.
-- locks: SHARE UPDATE EXCLUSIVE on each table
analyze
    monitoring.monitoring_events, monitoring.validation_metrics, monitoring.cache_metrics_monitoring,
    monitoring.events, monitoring.dlq_table;
