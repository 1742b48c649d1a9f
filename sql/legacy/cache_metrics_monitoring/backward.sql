-- Map a unified row back to cache_metrics_monitoring: exact for what came from there, else the nearest row it takes.
-- An event type that is no operation of the table becomes error where the unified row is an error, else hit; an unknown
-- implementation becomes new, a missing key the empty string, a negative response time NULL.
select
    (u).id as id,
    coalesce((u).event_data ->> 'cache_key', '') as cache_key,
    case
        when (u).event_type in ('cache_hit', 'cache_miss', 'cache_set', 'cache_evict', 'cache_error') then substr((u).event_type, 7)
        when (u).severity in ('error', 'critical') or (u).status = 'failed' then 'error'
        else 'hit'
    end as operation_type,
    case (u).event_data ->> 'implementation_type' when 'legacy' then 'legacy' else 'new' end as implementation_type,
    case when (u).response_time_ms >= 0 then (u).response_time_ms end as response_time_ms,
    maintenance.json_signed((u).event_metrics, 'cache_size') as cache_size,
    (u).event_data ->> 'error_type' as error_type,
    (u).event_data ->> 'error_message' as error_message,
    maintenance.plain_metadata((u).event_metadata) as metadata,
    (u).event_timestamp as timestamp
