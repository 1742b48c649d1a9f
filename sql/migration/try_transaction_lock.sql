-- Try to take the advisory lock of a subject until this transaction ends; never waits (design 3).
-- params: subject
select pg_try_advisory_xact_lock(hashtextextended(%(subject)s, 0)) as taken
