-- An empty parent with the columns of the mapped rows; the reason is always NULL.
-- identifiers: source, forward
-- locks: none on relations
create schema bench_limit;

create table bench_limit.event_metric_events as
select f.*
from {source} as s
cross join lateral {forward}(s, null, null) as f
with no data
