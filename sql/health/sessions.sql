-- Sessions of this database with an open transaction, the oldest first, and who blocks those that wait for a lock.
select
    a.pid,
    a.usename::text as role_name,
    a.application_name as application,
    a.state,
    a.xact_start as transaction_since,
    a.state_change as state_since,
    a.query_start as query_since,
    -- Up to its first literal: what follows may be a value of somebody's row.
    left(regexp_replace(regexp_replace(a.query, '\s+', ' ', 'g'), '(''|\$\w*\$|(?<![\w$.])[0-9]).*$', '…'), 200) as query,
    case when a.wait_event_type = 'Lock' then pg_blocking_pids(a.pid) else '{{}}' end as blocked_by
from pg_catalog.pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend' and a.xact_start is not null
order by a.xact_start
limit 50
