-- Name rows of a partition that stay: nobody owns them, or no legacy table takes them.
-- identifiers: partition, id, time
-- fragments: owners, time_type
-- params: migration, limit
-- locks: ACCESS SHARE on partition
select r.target_key, r.event_time, coalesce(r.reason, 'no source owns it') as reason
from (
    select
        u.{id}::text as target_key,
        u.{time}::timestamptz::text as event_time,
        u.{time} as at,
        case {owners} end as owner,
        c.id as kept,
        c.reason
    from {partition} as u
    left join maintenance.carry_back as c
        on c.migration = %(migration)s and c.target_key = u.{id}::text and c.event_time::{time_type} = u.{time}
) as r
where r.reason is not null or (r.owner is null and r.kept is null)
order by r.at, r.target_key
limit %(limit)s
