-- Say which unified rows that no source owns go to monitoring_events on the way back (M6): those of its category or error, with an id that
-- maintenance did not make.
select (u).event_category in ('monitoring', 'error') and not maintenance.is_v8_id((u).id)
