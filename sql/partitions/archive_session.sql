-- Bound the waits of the session that streams an archive. Parallel workers would hand each row over from process to process.
-- literals: lock_ms, statement_ms, idle_ms
select
    set_config('lock_timeout', {lock_ms}::text, false),
    set_config('statement_timeout', {statement_ms}::text, false),
    set_config('idle_in_transaction_session_timeout', {idle_ms}::text, false),
    set_config('client_encoding', 'UTF8', false),
    set_config('max_parallel_workers_per_gather', '0', false)
