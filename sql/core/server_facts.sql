-- Version, role and rights of the session: what must be true before anything else.
select
    current_setting('server_version_num')::integer as version_num,
    current_setting('server_version') as version,
    current_user::text as role_name,
    current_database()::text as database,
    has_database_privilege(current_database(), 'create') as may_create,
    pg_is_in_recovery() as is_standby
