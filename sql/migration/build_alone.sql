-- Keep this transaction's index builds to its own session: the workers are the sessions that load other partitions, and
-- starting a parallel worker for each index of each partition costs more than it gives.
select set_config('max_parallel_maintenance_workers', '0', true)
