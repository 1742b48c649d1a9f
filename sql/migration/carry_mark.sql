-- Mark what this transaction writes to the target as maintenance's own.
select set_config('maintenance.carrying', 'on', true)
