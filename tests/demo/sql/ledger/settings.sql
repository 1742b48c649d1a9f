-- Render rows for the rest of the transaction as the writer's sessions did; returns the zone that was set before.
-- params: zone
-- locks: none
with before as materialized (select current_setting('TimeZone') as zone)
select zone, set_config('TimeZone', %(zone)s, true), set_config('extra_float_digits', '1', true) from before
