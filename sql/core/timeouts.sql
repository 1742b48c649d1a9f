-- Bound the waits of the kind of work that follows.
-- params: lock_ms, statement_ms, idle_ms, is_local
select
    set_config('lock_timeout', %(lock_ms)s::text, %(is_local)s),
    set_config('statement_timeout', %(statement_ms)s::text, %(is_local)s),
    set_config('idle_in_transaction_session_timeout', %(idle_ms)s::text, %(is_local)s)
