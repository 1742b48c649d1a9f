-- Let the maintenance role ask for a checkpoint between preparing and loading.
-- identifiers: role
grant pg_checkpoint to {role}
