-- Keep who held a lock that maintenance waited for.
-- params: run_id, relation, action, waited_ms, granted, holders
insert into maintenance.lock_wait (run_id, relation, action, waited_ms, granted, holders)
values (%(run_id)s, %(relation)s, %(action)s, %(waited_ms)s, %(granted)s, %(holders)s::jsonb)
