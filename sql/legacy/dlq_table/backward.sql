-- Map a unified row back to dlq_table: exact for what came from there, else the nearest row that the table takes.
-- Event data without a payload is the payload itself. More retries than allowed raise what is allowed. A NULL kept under
-- legacy holds while the unified row still has the value that stands for it. The id means something only where owns holds.
select
    maintenance.v8_key((u).id) as id,
    coalesce((u).event_data -> 'payload', (u).event_data) as original_payload,
    (u).event_data ->> 'failure_reason' as failure_reason,
    case
        when (u).retry_count = 0 and ((u).event_metadata -> 'legacy') ? 'retry_count' then null
        else (u).retry_count
    end as retry_count,
    case
        when (u).max_retries = 5 and ((u).event_metadata -> 'legacy') ? 'max_retries' then null
        when (u).retry_count = 0 and ((u).event_metadata -> 'legacy') ? 'retry_count' then (u).max_retries
        else greatest((u).max_retries, (u).retry_count)
    end as max_retries,
    (u).event_timestamp as created_at,
    maintenance.json_instant((u).event_data, 'last_retry_at') as last_retry_at,
    (u).resolved_at as recovered_at,
    case
        when (u).status = 'pending' and ((u).event_metadata -> 'legacy') ? 'status' then null
        else case (u).status when 'retry' then 'retrying' when 'success' then 'recovered' else (u).status end
    end as status
