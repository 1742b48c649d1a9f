-- Take the oldest changes of the target out of the log; what they stand for is read afterwards, so repeating does no harm.
-- params: migration, limit
with batch as (
    delete from maintenance.reverse_capture as r
    where r.ctid = any(array(
        select q.ctid from maintenance.reverse_capture as q
        where q.migration = %(migration)s
        order by q.logged_at
        limit %(limit)s
    ))
    returning r.key, r.event_time
)

select distinct b.key, b.event_time::text as event_time from batch as b
