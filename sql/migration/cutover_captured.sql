-- Every captured key of a source with the times that it had, as text: a legacy table may hold times that no client can.
-- params: source_id
select distinct c.key, c.old_time::text as old_time from maintenance.capture as c where c.source_id = %(source_id)s
