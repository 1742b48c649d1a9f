-- The newest verdict of each gate on the subject, in the order in which they were given.
-- params: subject
select v.step, v.status, v.decided_at, v.valid_until, v.reasons, v.data_docs
from (
    select distinct on (n.step) n.*
    from maintenance.verdict as n
    where n.subject = %(subject)s
    order by n.step asc, n.decided_at desc
) as v
order by v.decided_at
