-- The first rows of a materialized view as JSON, for a page.
-- identifiers: matview
-- literals: limit
-- locks: ACCESS SHARE on matview
select to_jsonb(m) as "row"
from {matview} as m
limit {limit}
