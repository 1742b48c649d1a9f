-- Save a new session; no row where the id is taken.
-- identifiers: table
-- params: session_id, data, user_id, expires_at, expire_after
-- locks: ROW EXCLUSIVE on table; waits for another insert of the same id
insert into {table} as s (session_id, session_data, user_id, expires_at)
values (%(session_id)s, %(data)s::jsonb, %(user_id)s, %(expires_at)s)
on conflict (session_id) do nothing
returning
    s.session_id, s.session_data as data, s.version, s.session_state as state, s.user_id, s.last_activity_at,
    coalesce(s.expires_at, s.last_activity_at + %(expire_after)s) as expires_at
