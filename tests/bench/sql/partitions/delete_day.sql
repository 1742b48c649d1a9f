-- Remove a range of rows as it is done without partitions.
-- identifiers: parent
-- literals: lower, upper
delete from {parent} where event_timestamp >= {lower} and event_timestamp < {upper}
