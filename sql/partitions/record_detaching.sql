-- Record that the detach of a partition may begin at any moment from now; no row where a change in it is still to be carried back.
-- params: oid, run_id
update maintenance.retirement as r
set state = 'detaching', run_id = %(run_id)s, changed_at = clock_timestamp()
where
    r.partition_oid = %(oid)s and r.state in ('due', 'detaching')
    and not exists (
        select 1
        from maintenance.migration as m
        inner join maintenance.reverse_capture as w on m.name = w.migration
        where m.target = r.parent and w.event_time >= r.lower and w.event_time < r.upper
    )
returning r.id
