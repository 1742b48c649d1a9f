-- Keep what a legacy table had, for the way back.
-- params: source_id, former_triggers, former_sequence
update maintenance.source
set former_triggers = %(former_triggers)s::jsonb, former_sequence = %(former_sequence)s
where id = %(source_id)s
