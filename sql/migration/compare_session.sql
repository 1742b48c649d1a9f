-- Give memory to the hash tables of the keys that are left out, where a look-up that does not fit would be a nested scan.
-- One session is one process: how many there are is for whoever calls to say.
select
    set_config('work_mem', '64MB', true) as work_mem,
    set_config('max_parallel_workers_per_gather', '0', true) as workers
