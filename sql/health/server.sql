-- The server, this database and the session: memory, connections, and whether vacuum runs by itself.
select
    quote_ident(current_database()) as database,
    quote_ident(current_user) as role_name,
    current_setting('server_version') as version,
    pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_sessions,
    pg_database_size(current_database()) as database_bytes,
    pg_size_bytes(current_setting('shared_buffers')) as shared_buffers_bytes,
    pg_size_bytes(current_setting('effective_cache_size')) as effective_cache_bytes,
    pg_size_bytes(current_setting('work_mem')) as work_mem_bytes,
    s.blks_hit::double precision / nullif(s.blks_hit + s.blks_read, 0) as hit_ratio,
    s.deadlocks,
    s.temp_bytes,
    current_setting('autovacuum') = 'on' and current_setting('track_counts') = 'on' as is_vacuumed,
    a.connections,
    a.active,
    a.idle,
    a.idle_in_transaction,
    a.waiting,
    least(
        case when d.datconnlimit >= 0 then d.datconnlimit end,
        current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0)
    ) as connection_limit
from pg_catalog.pg_database as d
inner join pg_catalog.pg_stat_database as s on d.oid = s.datid
cross join lateral (
    select
        -- A database's own limit counts its own sessions, the server's counts all.
        count(*) filter (where d.datconnlimit < 0 or a.datid = d.oid) as connections,
        count(*) filter (where a.datid = d.oid and a.state = 'active') as active,
        count(*) filter (where a.datid = d.oid and a.state = 'idle') as idle,
        count(*) filter (where a.datid = d.oid and a.state like 'idle in transaction%') as idle_in_transaction,
        count(*) filter (where a.datid = d.oid and a.wait_event_type = 'Lock') as waiting
    from pg_catalog.pg_stat_activity as a
    where a.backend_type = 'client backend'
) as a
where d.datname = current_database()
