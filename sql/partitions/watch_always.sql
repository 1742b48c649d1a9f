-- Let a watching trigger fire in every session, whatever its session_replication_role.
-- identifiers: partition, trigger
-- locks: SHARE ROW EXCLUSIVE on partition
alter table {partition} enable always trigger {trigger}
