-- Map a row of events: the columns of the unified row, or the reason why it has none.
-- The columns of legacy are read as (l).column; span_from and span_to bound the event time, half-open.
-- Keys that an id cannot hold (negative, or 2^62 and more) are refused; a bigserial gives neither.
-- literals: code
select
    case
        when (l).timestamp is null then 'event time is null'
        when not isfinite((l).timestamp) then 'event time is infinite'
        when (l).timestamp < span_from or (l).timestamp >= span_to then 'event time is outside the span'
        when length((l).type) > 500 then 'event_type is longer than 500 characters'
        when (l).id not between 0 and 4611686018427387903 then 'id is outside 0 to 4611686018427387903'
    end as reason,
    maintenance.v8_id({code}, (l).id) as id,
    (l).type as event_type,
    'monitoring' as event_category,
    coalesce(maintenance.json_text((l).data, 'source', 500), 'supabase') as source_system,
    (l).timestamp as event_timestamp,
    (l).created_at as created_at,
    (l).created_at as updated_at,
    (l).data as event_data,
    '{{}}'::jsonb as event_metrics,
    maintenance.standard_metadata(null) as event_metadata,
    maintenance.json_severity((l).data) as severity,
    maintenance.severity_status(maintenance.json_severity((l).data)) as status,
    0 as priority,
    0 as retry_count,
    3 as max_retries,
    null::timestamptz as resolved_at,
    maintenance.json_int((l).data, 'duration_ms') as duration_ms,
    maintenance.json_int((l).data, 'data_size_bytes') as data_size_bytes,
    maintenance.json_int((l).data, 'response_time_ms') as response_time_ms,
    maintenance.json_text((l).data, 'correlation_id', 100) as correlation_id,
    maintenance.json_text((l).data, 'user_id', 100) as user_id,
    maintenance.json_text((l).data, 'session_id', 100) as session_id
