-- Refresh a filled materialized view while it stays readable.
-- identifiers: matview
-- locks: EXCLUSIVE on the view (readers go on, a second refresh waits)
refresh materialized view concurrently {matview}
