-- Record how a run ended.
-- params: run_id, outcome, detail
update maintenance.run
set outcome = %(outcome)s, ended_at = clock_timestamp(), detail = detail || %(detail)s::jsonb
where id = %(run_id)s
