-- Delete the target's rows that no source owned and that stand in a legacy table from now on: carried forward again they
-- would be there twice. They are kept whole in maintenance.carry_back.
-- identifiers: target, id, time
-- fragments: owners, id_type, time_type
-- params: migration
-- locks: ROW EXCLUSIVE on target
delete from {target} as u
using maintenance.carry_back as c
where
    c.migration = %(migration)s and c.reason is null
    and u.{id} = c.target_key::{id_type} and u.{time} = c.event_time::{time_type}
    and c.source_id is distinct from case {owners} end
