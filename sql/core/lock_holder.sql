-- Who holds the run lock of a subject, for the message of a deferred run.
-- params: subject
select a.pid, a.application_name, a.backend_start, r.id as run_id, r.flow, r.started_at
from pg_catalog.pg_locks as l
inner join pg_catalog.pg_stat_activity as a on l.pid = a.pid
left join maintenance.run as r on a.pid = r.backend_pid and r.outcome = 'running' and r.started_at >= a.backend_start
where
    l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and l.objsubid = 1
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
    and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(%(subject)s, 0)
order by r.started_at desc nulls last
limit 1
