-- Save a session over the version that the caller holds; no row where it has another one, is over, or is gone.
-- identifiers: table
-- params: session_id, data, user_id, expires_at, version, expire_after
-- locks: ROW EXCLUSIVE on table, and the row
update {table} as s
set
    session_data = %(data)s::jsonb,
    session_state = 'active',
    user_id = coalesce(%(user_id)s, s.user_id),
    expires_at = coalesce(%(expires_at)s, s.expires_at),
    last_activity_at = now(),
    version = s.version + 1
where
    s.session_id = %(session_id)s and s.version = %(version)s and s.session_state <> 'expired'
    and coalesce(s.expires_at, s.last_activity_at + %(expire_after)s) > now()
returning
    s.session_id, s.session_data as data, s.version, s.session_state as state, s.user_id, s.last_activity_at,
    coalesce(s.expires_at, s.last_activity_at + %(expire_after)s) as expires_at
