-- Take the oldest changes of the target out of the log; what they stand for is read afterwards, so repeating does no harm.
-- params: migration, limit
with batch as (
    delete from maintenance.reverse_capture as r
    where
        r.migration = %(migration)s and r.seq in (
            select q.seq from maintenance.reverse_capture as q
            where q.migration = %(migration)s
            order by q.seq
            limit %(limit)s
        )
    returning r.key, r.event_time
)

select distinct b.key, b.event_time::text as event_time from batch as b
