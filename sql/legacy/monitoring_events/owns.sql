-- Say whether a unified row belongs to monitoring_events: its category, and an id that maintenance did not make.
select (u).event_category = 'monitoring' and not maintenance.is_v8_id((u).id)
