-- Map a row of monitoring_events: the columns of the unified row, or the reason why it has none.
-- The columns of legacy are read as (l).column; span_from and span_to bound the event time, half-open.
-- legacy.created_at keeps a NULL created_at; every other value is given back by a column.
select
    case
        when (l).timestamp is null then 'event time is null'
        when not isfinite((l).timestamp) then 'event time is infinite'
        when (l).timestamp < span_from or (l).timestamp >= span_to then 'event time is outside the span'
        when length((l).event_type) > 500 then 'event_type is longer than 500 characters'
        when length((l).source) > 500 then 'source_system is longer than 500 characters'
        when maintenance.is_v8_id((l).id) then 'id looks like one of maintenance''s own'
    end as reason,
    (l).id as id,
    (l).event_type as event_type,
    'monitoring' as event_category,
    (l).source as source_system,
    (l).timestamp as event_timestamp,
    coalesce((l).created_at, (l).timestamp) as created_at,
    coalesce((l).created_at, (l).timestamp) as updated_at,
    (l).data as event_data,
    '{{}}'::jsonb as event_metrics,
    case
        when (l).created_at is null
            then maintenance.standard_metadata((l).metadata) || '{{"legacy": {{"created_at": null}}}}'
        else maintenance.standard_metadata((l).metadata)
    end as event_metadata,
    maintenance.json_severity((l).data) as severity,
    maintenance.severity_status(maintenance.json_severity((l).data)) as status,
    0 as priority,
    0 as retry_count,
    3 as max_retries,
    null::timestamptz as resolved_at,
    maintenance.json_int((l).data, 'duration_ms') as duration_ms,
    maintenance.json_int((l).data, 'data_size_bytes') as data_size_bytes,
    maintenance.json_int((l).data, 'response_time_ms') as response_time_ms,
    coalesce(
        maintenance.json_text((l).data, 'correlation_id', 100), maintenance.json_text((l).metadata, 'correlation_id', 100)
    ) as correlation_id,
    coalesce(maintenance.json_text((l).data, 'user_id', 100), maintenance.json_text((l).metadata, 'user_id', 100)) as user_id,
    coalesce(
        maintenance.json_text((l).data, 'session_id', 100), maintenance.json_text((l).metadata, 'session_id', 100)
    ) as session_id
