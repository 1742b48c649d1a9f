-- Refresh the planner's statistics: a concurrent refresh changes rows without them.
-- identifiers: matview
-- locks: SHARE UPDATE EXCLUSIVE on the view
analyze {matview}
