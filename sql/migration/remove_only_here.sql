-- Name target rows of a source whose key its legacy table does not have: deleted there since, or written under the new name
-- alone. Their archive is all that keeps them.
-- identifiers: target, id, time, legacy, key, owns, backward
-- fragments: time_type
-- params: migration, limit
-- locks: ACCESS SHARE on target and legacy
select u.{id}::text as target_key, u.{time}::timestamptz::text as event_time, count(*) over () as total
from {target} as u
cross join lateral {backward}(u) as b
where
    {owns}(u)
    and not exists (select from {legacy} as l where l.{key} = b.{key})
    and not exists (
        select
        from maintenance.carry_back as c
        where
            c.migration = %(migration)s and c.reason is not null
            and c.target_key = u.{id}::text and c.event_time::{time_type} = u.{time}
    )
order by u.{time}, u.{id}
limit %(limit)s
