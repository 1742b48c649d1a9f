-- The newest verdict of each gate on each subject.
select distinct on (v.subject, v.step)
    v.subject, v.step, v.status, v.decided_at, jsonb_array_length(v.reasons) as reasons
from maintenance.verdict as v
order by v.subject asc, v.step asc, v.decided_at desc
