-- Replication slots, whether somebody reads from each, and the WAL that the server keeps for it.
select
    s.slot_name::text as slot,
    s.active as is_active,
    s.wal_status,
    pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn)::bigint
    as wal_bytes
from pg_catalog.pg_replication_slots as s
where not s.temporary
order by s.slot_name
