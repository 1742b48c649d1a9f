-- Map a unified row back to validation_metrics: exact for what came from there, else the nearest row that the table takes.
-- A number that event_metrics does not hold, or holds as something else, becomes 0. A local time kept under legacy counts
-- while it still means the instant beside it. The id means something only where owns holds.
-- literals: zone
select
    maintenance.v8_key((u).id) as id,
    left((u).event_type, 50) as event_type,
    coalesce(maintenance.json_signed((u).event_metrics, 'total_events'), 0) as total_events,
    coalesce(maintenance.json_signed((u).event_metrics, 'passed_events'), 0) as passed_events,
    coalesce(maintenance.json_signed((u).event_metrics, 'failed_events'), 0) as failed_events,
    coalesce(maintenance.json_float((u).event_metrics, 'pass_rate'), 0) as pass_rate,
    coalesce(maintenance.json_float((u).event_metrics, 'avg_validation_time_ms'), 0) as avg_validation_time_ms,
    coalesce(maintenance.json_signed((u).event_metrics, 'total_errors'), 0) as total_errors,
    coalesce(maintenance.json_signed((u).event_metrics, 'total_warnings'), 0) as total_warnings,
    maintenance.kept_local((u).event_metadata -> 'legacy', 'flush_timestamp', (u).event_timestamp, {zone}) as flush_timestamp,
    maintenance.kept_local((u).event_metadata -> 'legacy', 'created_at', (u).created_at, {zone}) as created_at,
    maintenance.kept_local((u).event_metadata -> 'legacy', 'updated_at', (u).updated_at, {zone}) as updated_at
