-- Note every row that changes in a partition while it is copied; also in a session that replicates. A merge that was given up by
-- hand left its trigger, which notes for this one from now on.
-- identifiers: partition
-- literals: coarsening
-- locks: SHARE ROW EXCLUSIVE on partition: waits for its writers, not its readers
create or replace trigger maintenance_coarsening after insert or update or delete on {partition}
for each row execute function maintenance.note_change({coarsening})
