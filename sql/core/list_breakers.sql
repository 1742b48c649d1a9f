-- Every breaker that a process has told of.
select b.dependency, b.address, b.state, b.failures, b.since, b.reason, b.seen_by
from maintenance.breaker as b
order by b.dependency, b.address
