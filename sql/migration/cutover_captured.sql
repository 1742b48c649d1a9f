-- Every captured key of a source with the times that it had.
-- params: source_id
select distinct c.key, c.old_time from maintenance.capture as c where c.source_id = %(source_id)s
