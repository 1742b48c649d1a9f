-- One session as it stands, and whether its time is over by the server's clock, marked as expired yet or not.
-- identifiers: table
-- params: session_id, expire_after
select
    s.session_id, s.session_data as data, s.version, s.session_state as state, s.user_id, s.last_activity_at,
    coalesce(s.expires_at, s.last_activity_at + %(expire_after)s) as expires_at,
    s.session_state = 'expired' or coalesce(s.expires_at, s.last_activity_at + %(expire_after)s) <= now() as is_over
from {table} as s
where s.session_id = %(session_id)s
