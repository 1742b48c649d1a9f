-- Empty the room for the next batch of the same transaction; the plans of what reads it stay good.
delete from pg_temp.maintenance_carried
