-- Put the keys that a comparison named into the capture log, with the time that their row has in the target or should have.
-- params: comparison_id
insert into maintenance.capture (source_id, key, old_time)
select d.source_id, d.key, d.event_time
from maintenance.comparison_difference as d
where d.comparison_id = %(comparison_id)s and d.source_id is not null and d.key is not null
