-- Empty the quarantine of a range that is about to be loaded again.
-- params: migration, lower, upper
delete from maintenance.quarantine as q
using maintenance.source as s
where
    q.source_id = s.id and s.migration = %(migration)s
    and q.event_time >= %(lower)s and q.event_time < %(upper)s
