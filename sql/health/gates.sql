-- The newest verdict of each gate on whatever is still declared. Retention's are given for a table and one plan: a later plan's counts
-- for the table, and none where the table has no retention any more.
-- params: declared, retained
select distinct on (s.subject, v.step)
    s.subject, v.step, v.status, v.decided_at, jsonb_array_length(v.reasons) as reasons
from maintenance.verdict as v
cross join lateral (select split_part(v.subject, ' ', 1)) as s (subject)
where s.subject = any(%(declared)s) and (v.step <> 'retention' or s.subject = any(%(retained)s))
order by s.subject asc, v.step asc, v.id desc
