-- Say which unified rows that no source owns go to events on the way back (M6): none, monitoring_events takes its category.
select false
