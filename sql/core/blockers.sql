-- Which sessions block the given backend, and what they hold.
-- params: pid
select
    a.pid,
    coalesce(a.application_name, '') as application_name,
    a.usename,
    a.backend_type,
    a.state,
    -- Up to its first literal: what follows may be a value of somebody's row.
    left(regexp_replace(a.query, '(''|\$\w*\$|(?<![\w$.])[0-9]).*$', '…'), 200) as query,
    extract(epoch from clock_timestamp() - a.xact_start)::integer as open_for_s
from unnest(pg_blocking_pids(%(pid)s)) as b (pid)
inner join pg_catalog.pg_stat_activity as a on b.pid = a.pid
