-- Record that the legacy tables are the truth again; units of the old capture generation are no longer done.
-- params: migration
with gone as (
    delete from maintenance.cutover as c where c.migration = %(migration)s
),

sources as (
    update maintenance.source set former_triggers = '{{}}', former_sequence = null where migration = %(migration)s
)

update maintenance.migration
set
    phase = 'rolled_back', rolled_back_at = clock_timestamp(), changed_at = clock_timestamp(),
    generation = generation + 1, trigger_state = null
where name = %(migration)s
