-- The narrow set's index type_time of one half.
-- identifiers: half
-- locks: SHARE on half
create index on {half} (event_type, event_timestamp desc)
