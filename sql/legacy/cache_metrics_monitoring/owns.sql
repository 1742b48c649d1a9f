-- Say whether a unified row belongs to cache_metrics_monitoring: its category, and an id that maintenance did not make.
select (u).event_category = 'cache' and not maintenance.is_v8_id((u).id)
