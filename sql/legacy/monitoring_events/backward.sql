-- Map a unified row back to monitoring_events: exact for what came from there, else the nearest row that the table takes.
-- Event type and source are cut to its lengths. The NULL created_at of legacy holds while the unified row still has the
-- value that stands for it, so a later change under the new name is seen. Metadata without a value becomes {}.
select
    (u).id as id,
    left((u).event_type, 50) as event_type,
    (u).event_timestamp as timestamp,
    left((u).source_system, 100) as source,
    (u).event_data as data,
    coalesce(maintenance.plain_metadata((u).event_metadata), '{{}}') as metadata,
    case
        when (u).created_at = (u).event_timestamp and ((u).event_metadata -> 'legacy') ? 'created_at' then null
        else (u).created_at
    end as created_at
