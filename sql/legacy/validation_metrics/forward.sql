-- Map a row of validation_metrics: the columns of the unified row, or the reason why it has none.
-- The columns of legacy are read as (l).column; span_from and span_to bound the event time, half-open.
-- legacy keeps, under the column's name, a local time that the zone does not have or has twice, as to_jsonb writes it.
-- jsonb_build_object writes a float as its shortest text and NaN and the infinities as strings; JSON has no -0.
-- literals: code, zone
select
    case
        when (l).flush_timestamp is null then 'event time is null'
        when not isfinite((l).flush_timestamp) then 'event time is infinite'
        when not maintenance.local_instant((l).flush_timestamp, {zone}) <@ tstzrange(span_from, span_to)
            then 'event time is outside the span'
        when length((l).event_type) > 500 then 'event_type is longer than 500 characters'
        when (l).id not between 0 and 4611686018427387903 then 'id is outside 0 to 4611686018427387903'
    end as reason,
    maintenance.v8_id({code}, (l).id) as id,
    (l).event_type as event_type,
    'validation' as event_category,
    'supabase' as source_system,
    maintenance.local_instant((l).flush_timestamp, {zone}) as event_timestamp,
    maintenance.local_instant((l).created_at, {zone}) as created_at,
    maintenance.local_instant((l).updated_at, {zone}) as updated_at,
    '{{}}'::jsonb as event_data,
    jsonb_build_object(
        'total_events', (l).total_events,
        'passed_events', (l).passed_events,
        'failed_events', (l).failed_events,
        'pass_rate', (l).pass_rate,
        'avg_validation_time_ms', (l).avg_validation_time_ms,
        'total_errors', (l).total_errors,
        'total_warnings', (l).total_warnings
    ) as event_metrics,
    case
        when maintenance.is_plain_local(
            least((l).flush_timestamp, (l).created_at, (l).updated_at),
            greatest((l).flush_timestamp, (l).created_at, (l).updated_at),
            {zone}
        ) then maintenance.standard_metadata(null)
        when maintenance.is_odd_local((l).flush_timestamp, {zone})
            or maintenance.is_odd_local((l).created_at, {zone})
            or maintenance.is_odd_local((l).updated_at, {zone})
            then maintenance.standard_metadata(null) || jsonb_build_object('legacy', jsonb_strip_nulls(jsonb_build_object(
                'flush_timestamp', case when maintenance.is_odd_local((l).flush_timestamp, {zone}) then (l).flush_timestamp end,
                'created_at', case when maintenance.is_odd_local((l).created_at, {zone}) then (l).created_at end,
                'updated_at', case when maintenance.is_odd_local((l).updated_at, {zone}) then (l).updated_at end
            )))
        else maintenance.standard_metadata(null)
    end as event_metadata,
    case when (l).total_errors > 0 then 'error' when (l).total_warnings > 0 then 'warning' else 'info' end as severity,
    case when (l).failed_events > 0 then 'failed' else 'success' end as status,
    0 as priority,
    0 as retry_count,
    3 as max_retries,
    null::timestamptz as resolved_at,
    maintenance.rounded_int((l).avg_validation_time_ms) as duration_ms,
    null::integer as data_size_bytes,
    null::integer as response_time_ms,
    null::varchar as correlation_id,
    null::varchar as user_id,
    null::varchar as session_id
