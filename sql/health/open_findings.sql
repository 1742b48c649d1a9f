-- Since when each finding of the newest report has been open.
select f.rule, f.object, f.since
from maintenance.finding as f
