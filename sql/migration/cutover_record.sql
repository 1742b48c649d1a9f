-- Record that the old names are views from this transaction on, with what stood before (M3).
-- params: migration, setting_before, granted, dependants, drained, locked_ms
with phase as (
    update maintenance.migration
    set phase = 'cut_over', cut_over_at = clock_timestamp(), rolled_back_at = null, changed_at = clock_timestamp()
    where name = %(migration)s
)

insert into maintenance.cutover (migration, setting_before, granted, dependants, drained, locked_ms)
values (
    %(migration)s, %(setting_before)s, %(granted)s::jsonb, %(dependants)s::jsonb, %(drained)s, %(locked_ms)s
)
