-- Take the shared work lock of a subject for this session, where no transaction can hold it, and say whether its run lives.
-- params: work, run, pid
select
    pg_try_advisory_lock_shared(hashtextextended(%(work)s, 0)) as taken,
    exists (
        select 1
        from pg_catalog.pg_locks as l
        where
            l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and l.objsubid = 1
            and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
            and l.pid = %(pid)s
            and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(%(run)s, 0)
    ) as run_is_alive
