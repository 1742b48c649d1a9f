-- Map a row of cache_metrics_monitoring: the columns of the unified row, or the reason why it has none.
-- The columns of legacy are read as (l).column; span_from and span_to bound the event time, half-open.
-- legacy.metadata keeps a NULL metadata; every other value is given back by a column or stands in event_data.
-- Texts past 200 MB together are refused: JSON ends at 256 MB and would raise.
select
    case
        when (l).timestamp is null then 'event time is null'
        when not isfinite((l).timestamp) then 'event time is infinite'
        when (l).timestamp < span_from or (l).timestamp >= span_to then 'event time is outside the span'
        when length((l).operation_type) > 494 then 'event_type is longer than 500 characters'
        when maintenance.is_v8_id((l).id) then 'id looks like one of maintenance''s own'
        when octet_length((l).cache_key) > 100000000
            or octet_length((l).error_type) > 50000000 or octet_length((l).error_message) > 50000000
            then 'event_data is too long for JSON'
    end as reason,
    (l).id as id,
    'cache_' || (l).operation_type as event_type,
    'cache' as event_category,
    'cache' as source_system,
    (l).timestamp as event_timestamp,
    (l).timestamp as created_at,
    (l).timestamp as updated_at,
    case
        when (l).error_type is null and (l).error_message is null
            then jsonb_object('{{cache_key,implementation_type}}', array[(l).cache_key, (l).implementation_type])
        else jsonb_strip_nulls(
            jsonb_object(
                '{{cache_key,implementation_type,error_type,error_message}}',
                array[(l).cache_key, (l).implementation_type, (l).error_type, (l).error_message]
            )
        )
    end as event_data,
    case
        when (l).cache_size is null then '{{}}'::jsonb
        else jsonb_build_object('cache_size', (l).cache_size)
    end as event_metrics,
    case
        when (l).metadata is null then maintenance.standard_metadata(null) || '{{"legacy": {{"metadata": null}}}}'
        else maintenance.standard_metadata((l).metadata)
    end as event_metadata,
    case (l).operation_type when 'error' then 'error' else 'info' end as severity,
    case (l).operation_type when 'error' then 'failed' else 'success' end as status,
    0 as priority,
    0 as retry_count,
    3 as max_retries,
    null::timestamptz as resolved_at,
    null::integer as duration_ms,
    null::integer as data_size_bytes,
    (l).response_time_ms as response_time_ms,
    maintenance.json_text((l).metadata, 'correlation_id', 100) as correlation_id,
    maintenance.json_text((l).metadata, 'user_id', 100) as user_id,
    maintenance.json_text((l).metadata, 'session_id', 100) as session_id
