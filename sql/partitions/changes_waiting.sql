-- Whether a change in the bounds of a retired partition is still to be carried back to the old tables.
-- params: id
select exists (
    select 1
    from maintenance.retirement as r
    inner join maintenance.migration as m on r.parent = m.target
    inner join maintenance.reverse_capture as w on m.name = w.migration
    where r.id = %(id)s and w.event_time >= r.lower and w.event_time < r.upper
) as is_waiting
