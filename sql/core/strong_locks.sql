-- Which sessions hold a lock that readers or writers wait for, and on what: asked after a wait that nobody watched.
-- params: pid
select
    a.pid,
    coalesce(a.application_name, '') as application_name,
    a.usename,
    a.backend_type,
    a.state,
    -- Up to its first literal: what follows may be a value of somebody's row.
    left(regexp_replace(a.query, '(''|\$\w*\$|(?<![\w$.])[0-9]).*$', '…'), 200) as query,
    extract(epoch from clock_timestamp() - a.xact_start)::integer as open_for_s,
    string_agg(distinct l.relation::regclass::text, ', ') as relations
from pg_catalog.pg_locks as l
inner join pg_catalog.pg_stat_activity as a on l.pid = a.pid
where
    l.locktype = 'relation'
    and l.granted
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    and l.pid not in (%(pid)s, pg_backend_pid())
group by a.pid, a.application_name, a.usename, a.backend_type, a.state, a.query, a.xact_start
order by a.xact_start
