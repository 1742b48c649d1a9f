-- Raise the capture generation where the triggers are not as they were when it was last looked at (design 8).
-- params: migration
with found as (
    select string_agg(t.fact, E'\n' order by t.fact) as state
    from maintenance.source as s
    cross join lateral maintenance.capture_triggers(s.id) as t
    where s.migration = %(migration)s
)

update maintenance.migration as m
set generation = m.generation + 1, trigger_state = found.state, changed_at = clock_timestamp()
from found
where m.name = %(migration)s and m.trigger_state is distinct from found.state
returning m.generation
