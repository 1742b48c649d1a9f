-- The first rows that a comparison found different, with both values.
-- params: comparison_id, at_most
select s.relation as source, d.kind, d.key, d.event_time, d.reason, d.expected, d.found
from maintenance.comparison_difference as d
left join maintenance.source as s on d.source_id = s.id
where d.comparison_id = %(comparison_id)s
order by d.id
limit %(at_most)s
