-- Count a request of a session that is not over; its version stays, so no save becomes stale by it.
-- identifiers: table
-- params: session_id, duration_ms, expire_after
-- locks: ROW EXCLUSIVE on table, and the row
update {table} as s
set
    session_state = 'active',
    last_activity_at = now(),
    request_count = s.request_count + 1,
    total_duration_ms = s.total_duration_ms + %(duration_ms)s
where
    s.session_id = %(session_id)s and s.session_state <> 'expired'
    and coalesce(s.expires_at, s.last_activity_at + %(expire_after)s) > now()
