-- Whether the four capture triggers of a source are there, always enabled, with the body that its row asks for.
-- params: source_id
select bool_and(t.is_wanted) as is_wanted
from maintenance.capture_triggers(%(source_id)s) as t
