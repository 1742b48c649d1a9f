-- The narrow set's index errors of one half.
-- identifiers: half
-- locks: SHARE on half
create index on {half} (event_timestamp desc) where severity in ('error', 'critical')
