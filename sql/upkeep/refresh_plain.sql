-- Fill a materialized view for the first time; CONCURRENTLY refuses an unpopulated one.
-- identifiers: matview
-- locks: ACCESS EXCLUSIVE on the view
refresh materialized view {matview}
