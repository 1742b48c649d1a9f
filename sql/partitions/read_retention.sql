-- What the last applied retention run of a table decided by, and the clock; one row, nulls before the first run.
-- params: relation
select r.keep, r.as_of, r.ran_at, r.accepts, clock_timestamp() as now
from (select %(relation)s::text as relation) as t
left join maintenance.retention as r on t.relation = r.relation
