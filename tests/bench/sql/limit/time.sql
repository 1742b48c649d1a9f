-- The narrow set's index time of one half.
-- identifiers: half
-- locks: SHARE on half
create index on {half} using brin (event_timestamp) with (pages_per_range = 16)
