-- The server and the session: what every other fact rests on.
-- params: declared
select
    current_setting('server_version_num')::integer as version_num,
    current_setting('server_version') as version,
    current_setting('TimeZone') as time_zone,
    current_user::text as role_name,
    pg_is_in_recovery() as is_standby,
    current_setting('row_security') = 'off' as is_unfiltered,
    has_schema_privilege('maintenance', 'create') as may_create,
    current_setting('max_locks_per_transaction')::integer * current_setting('max_connections')::integer as lock_slots,
    (
        select count(*) * (1 + (
            select count(*) from pg_catalog.pg_index as i
            where i.indrelid = maintenance.declared_relation(%(declared)s::jsonb -> 'target')
        ))
        from maintenance.partition as p
        where p.parent_oid = maintenance.declared_relation(%(declared)s::jsonb -> 'target')
    ) as locks_of_one_full_scan
