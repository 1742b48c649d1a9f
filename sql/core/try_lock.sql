-- Try to take the session's exclusive advisory lock of a subject; never waits (design 3).
-- params: subject
select pg_try_advisory_lock(hashtextextended(%(subject)s, 0)) as taken
