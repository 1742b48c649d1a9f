-- Move what the sources own out of a partition, in one statement; what no legacy table takes stays.
-- identifiers: partition, aside, id, time
-- fragments: owners, time_type
-- params: migration
-- locks: ROW EXCLUSIVE on partition
with gone as (
    delete from {partition} as u
    where
        case {owners} end is not null
        and not exists (
            select
            from maintenance.carry_back as c
            where
                c.migration = %(migration)s and c.reason is not null
                and c.target_key = u.{id}::text and c.event_time::{time_type} = u.{time}
        )
    returning u.*
)

insert into {aside}
select g.* from gone as g
