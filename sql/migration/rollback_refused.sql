-- Rows that no legacy table takes: they stay in the target alone.
-- params: migration, limit
select
    c.target_key,
    c.event_time::text as event_time,
    c.reason,
    count(*) over () as total
from maintenance.carry_back as c
where c.migration = %(migration)s and c.reason is not null
order by c.event_time, c.target_key
limit %(limit)s
