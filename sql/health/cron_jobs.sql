-- The active jobs of pg_cron in this database.
-- identifiers: relation
select j.jobid, j.schedule, left(j.command, 400) as command
from {relation} as j
where j.active and j.database = current_database()
order by j.jobid
