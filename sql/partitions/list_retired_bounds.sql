-- The bounds of what retention, or the way back of a migration (its name stands in the parent), has dropped at or above each
-- table's oldest attached partition: no gaps, although nothing is there.
-- params: parents, oldest
with asked as (
    select t.parent, t.oldest from unnest(%(parents)s::text[], %(oldest)s::timestamptz[]) as t (parent, oldest)
)

select a.parent, r.lower, r.upper
from asked as a
inner join maintenance.retirement as r on a.parent = r.parent
where r.state = 'dropped' and r.lower is not null and r.upper > a.oldest
union all
select a.parent, r.lower, r.upper
from asked as a
inner join maintenance.retirement as r on starts_with(r.parent, a.parent || ' of ')
where strpos(r.parent, ' of ') > 0 and r.state = 'dropped' and r.lower is not null and r.upper > a.oldest
