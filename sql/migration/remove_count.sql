-- How many rows of a partition belong to the sources, how many an adopter has in its legacy table, and how many stay: those
-- that nobody owns, or that no legacy table takes.
-- identifiers: partition, id, time
-- fragments: owners, time_type
-- params: migration
-- locks: ACCESS SHARE on partition
select
    count(*) filter (where r.owner is not null and r.reason is null) as owned,
    count(*) filter (where r.owner is null and r.kept is not null and r.reason is null) as adopted,
    count(*) filter (where r.reason is not null or (r.owner is null and r.kept is null)) as staying
from (
    select case {owners} end as owner, c.id as kept, c.reason
    from {partition} as u
    left join maintenance.carry_back as c
        on c.migration = %(migration)s and c.target_key = u.{id}::text and c.event_time::{time_type} = u.{time}
) as r
