-- The narrow set's index session of one half.
-- identifiers: half
-- locks: SHARE on half
create index on {half} (session_id) where session_id is not null
