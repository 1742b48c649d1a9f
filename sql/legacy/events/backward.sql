-- Map a unified row back to events: exact for what came from there; the table takes every unified row.
-- The id means something only where owns holds: a row with any other id gets a new one from the sequence.
select
    maintenance.v8_key((u).id) as id,
    (u).event_type as type,
    (u).event_data as data,
    (u).event_timestamp as timestamp,
    (u).created_at as created_at
