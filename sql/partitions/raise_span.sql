-- Let the span of a target begin where its oldest attached partition does after the youngest that retention has detached. An
-- older one that is on hold or was restored lies before the span, as the hole behind it does.
-- params: target, parent_oid
-- locks: the target's row of maintenance.span; waits for copy and drain, which hold it FOR SHARE
update maintenance.span as s
set lower = oldest.lower, changed_at = clock_timestamp()
from (
    select min(p.lower) as lower
    from maintenance.partition as p
    where
        p.parent_oid = %(parent_oid)s and not p.is_default and not p.is_pending_detach
        and p.lower >= coalesce(
            (
                select max(r.upper)
                from maintenance.retirement as r
                where r.parent = %(target)s and r.state in ('detached', 'archiving', 'archived', 'dropped')
            ),
            '-infinity'
        )
) as oldest
where s.target = %(target)s and oldest.lower > s.lower and oldest.lower < s.upper
