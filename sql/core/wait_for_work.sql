-- Wait, at most lock_timeout, until no unit of a dead run works on the subject any more (design 3).
-- params: work
select pg_advisory_xact_lock(hashtextextended(%(work)s, 0))
