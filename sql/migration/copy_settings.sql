-- Settings of a transaction that builds or attaches a partition. Index builds stay in their own session: the workers are the
-- sessions that load other partitions, and starting a parallel worker for each index costs more than it gives. The commit does
-- not wait for the disk: WAL is in order, so a crash of the server loses the last units whole and the next run does them again;
-- the record of the run, which is committed last, waits for everything before it.
select
    set_config('max_parallel_maintenance_workers', '0', true),
    set_config('synchronous_commit', 'off', true)
