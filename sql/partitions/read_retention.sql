-- What the last applied retention run of each table decided by, and the clock; nulls before the first run.
-- params: relations
select t.relation, r.keep, r.as_of, r.ran_at, r.accepts, clock_timestamp() as now
from unnest(%(relations)s::text[]) as t (relation)
left join maintenance.retention as r on t.relation = r.relation
