-- Record that the detach of a partition may begin at any moment from now; no row where a change in it is still to be carried back.
-- From the same moment on the span begins after it: a write through an old name goes to quarantine and not to a partition that
-- has just left. An older partition that stays, such as one on hold, lies before the span then: no hole is ever within it.
-- params: oid, run_id, parent_oid
-- locks: the target's row of maintenance.span; waits for copy and drain, which hold it FOR SHARE
with intended as (
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
    returning r.id, r.parent, r.upper
),

raised as (
    update maintenance.span as s
    set lower = oldest.lower, changed_at = clock_timestamp()
    from intended as i
    cross join lateral (
        select min(p.lower) as lower
        from maintenance.partition as p
        where
            p.parent_oid = %(parent_oid)s and p.relation_oid <> %(oid)s and not p.is_default and not p.is_pending_detach
            and p.lower >= i.upper
    ) as oldest
    where s.target = i.parent and oldest.lower > s.lower and oldest.lower < s.upper
)

select i.id from intended as i
