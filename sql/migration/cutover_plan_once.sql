-- Plan each statement once in this transaction, before anything is locked: planning on every partition takes longer than its rows.
select set_config('plan_cache_mode', 'force_generic_plan', true)
