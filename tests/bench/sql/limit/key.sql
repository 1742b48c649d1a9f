-- The primary key of one half.
-- identifiers: half
-- locks: ACCESS EXCLUSIVE on half
alter table {half} add primary key (id, event_timestamp)
