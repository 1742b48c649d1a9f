-- Note a TRUNCATE of a partition while it is copied.
-- identifiers: partition
-- literals: coarsening
-- locks: SHARE ROW EXCLUSIVE on partition
create or replace trigger maintenance_coarsening_truncate after truncate on {partition}
for each statement execute function maintenance.note_change({coarsening})
