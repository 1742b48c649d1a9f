-- Log again the rows that no legacy table took: what stood in the way may have gone.
-- params: migration
insert into maintenance.reverse_capture (migration, key, event_time)
select c.migration, c.target_key, c.event_time
from maintenance.carry_back as c
where c.migration = %(migration)s and c.reason is not null
