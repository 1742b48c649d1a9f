-- What a legacy table had before the cutover.
-- params: source_id
select s.former_triggers, s.former_sequence from maintenance.source as s where s.id = %(source_id)s
