-- Every breaker that a process has told of. A dependency in use is told of each day; one that is open and was not for two days has
-- an address that nobody asks any more.
select b.dependency, b.address, b.state, b.failures, b.since, b.reason, b.seen_by
from maintenance.breaker as b
where b.state = 'closed' or b.told_at > clock_timestamp() - interval '2 days'
order by b.dependency, b.address
