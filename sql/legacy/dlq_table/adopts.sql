-- Say which unified rows that no source owns go to dlq_table on the way back (M6): those of its category, with an id that
-- maintenance did not make.
select (u).event_category = 'dlq' and not maintenance.is_v8_id((u).id)
