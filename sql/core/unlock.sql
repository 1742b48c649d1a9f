-- Release the session's advisory lock of a subject.
-- params: subject
select pg_advisory_unlock(hashtextextended(%(subject)s, 0))
