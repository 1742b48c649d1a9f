-- A registered migration with the bounds of event times that its target takes.
-- params: name
select m.name, m.target, m.phase, m.mapping_version, m.generation, m.trigger_state, m.captured_at, s.lower, s.upper
from maintenance.migration as m
inner join maintenance.span as s on m.target = s.target
where m.name = %(name)s
