-- How many rows are older than an instant.
-- identifiers: parent
-- params: upper
select count(*) from {parent} where event_timestamp < %(upper)s
