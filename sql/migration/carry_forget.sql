-- Forget what was kept of rows that are not in the target again: their legacy rows have changed since, and are the truth.
-- identifiers: target, id, time
-- fragments: id_type, time_type
-- literals: migration
-- locks: ACCESS SHARE on target
delete from maintenance.carry_back as c
where
    c.migration = {migration} and c.reason is null
    and not exists (
        select from {target} as u
        where u.{id} = c.target_key::{id_type} and u.{time} = c.event_time::{time_type}
    )
