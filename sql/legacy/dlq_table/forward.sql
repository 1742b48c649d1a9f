-- Map a row of dlq_table: the columns of the unified row, or the reason why it has none.
-- The columns of legacy are read as (l).column; span_from and span_to bound the event time, half-open.
-- legacy keeps the names of status, retry_count and max_retries where they are NULL.
-- A status outside the table's CHECK is refused, so a table without the CHECK cannot smuggle one in.
-- literals: code
select
    case
        when (l).created_at is null then 'event time is null'
        when not isfinite((l).created_at) then 'event time is infinite'
        when (l).created_at < span_from or (l).created_at >= span_to then 'event time is outside the span'
        when (l).id not between 0 and 4611686018427387903 then 'id is outside 0 to 4611686018427387903'
        when (l).status not in ('pending', 'retrying', 'recovered', 'failed')
            then 'status is not one of pending, retrying, recovered, failed'
        when octet_length((l).failure_reason) > 100000000 then 'event_data is too long for JSON'
    end as reason,
    maintenance.v8_id({code}, (l).id) as id,
    'dead_letter' as event_type,
    'dlq' as event_category,
    'supabase' as source_system,
    (l).created_at as event_timestamp,
    (l).created_at as created_at,
    greatest((l).created_at, (l).last_retry_at, (l).recovered_at) as updated_at,
    case
        when (l).failure_reason is null and (l).last_retry_at is null
            then jsonb_set('{{"payload": null}}', '{{payload}}', (l).original_payload)
        when (l).last_retry_at is null
            then jsonb_build_object('payload', (l).original_payload, 'failure_reason', (l).failure_reason)
        when (l).failure_reason is null
            then jsonb_build_object('payload', (l).original_payload, 'last_retry_at', (l).last_retry_at)
        else jsonb_build_object(
            'payload', (l).original_payload, 'failure_reason', (l).failure_reason, 'last_retry_at', (l).last_retry_at
        )
    end as event_data,
    '{{}}'::jsonb as event_metrics,
    case
        when (l).status is null or (l).retry_count is null or (l).max_retries is null
            then maintenance.standard_metadata(null) || jsonb_build_object(
                'legacy',
                case when (l).status is null then '{{"status": null}}'::jsonb else '{{}}' end
                || case when (l).retry_count is null then '{{"retry_count": null}}'::jsonb else '{{}}' end
                || case when (l).max_retries is null then '{{"max_retries": null}}'::jsonb else '{{}}' end
            )
        else maintenance.standard_metadata(null)
    end as event_metadata,
    case (l).status when 'failed' then 'critical' when 'recovered' then 'info' else 'error' end as severity,
    case (l).status when 'retrying' then 'retry' when 'recovered' then 'success' when 'failed' then 'failed' else 'pending' end
    as status,
    case (l).status when 'failed' then 10 else 5 end as priority,
    coalesce((l).retry_count, 0) as retry_count,
    coalesce((l).max_retries, 5) as max_retries,
    (l).recovered_at as resolved_at,
    null::integer as duration_ms,
    null::integer as data_size_bytes,
    null::integer as response_time_ms,
    maintenance.json_text((l).original_payload, 'correlation_id', 100) as correlation_id,
    maintenance.json_text((l).original_payload, 'user_id', 100) as user_id,
    maintenance.json_text((l).original_payload, 'session_id', 100) as session_id
