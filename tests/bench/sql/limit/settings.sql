-- What the backfill's own sessions set too.
-- locks: none
select set_config('jit', 'off', false), set_config('max_parallel_maintenance_workers', '0', false)
