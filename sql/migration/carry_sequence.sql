-- The sequence from which a legacy table's keys came, kept for the view and for rows without a key of its own.
-- params: source_id
select s.former_sequence as sequence from maintenance.source as s where s.id = %(source_id)s
