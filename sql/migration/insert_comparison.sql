-- Record a finished comparison.
-- params: migration, run_id, snapshot_at, mapping_version, generation, is_partial, sessions, units, legacy_rows, rows_compared, quarantined, in_flight, differing, kinds, seconds
insert into maintenance.comparison (
    migration, run_id, snapshot_at, mapping_version, generation, is_partial, sessions, units, legacy_rows, rows_compared,
    quarantined, in_flight, differing, kinds, seconds
)
values (
    %(migration)s, %(run_id)s, %(snapshot_at)s, %(mapping_version)s, %(generation)s, %(is_partial)s, %(sessions)s,
    %(units)s, %(legacy_rows)s, %(rows_compared)s, %(quarantined)s, %(in_flight)s, %(differing)s, %(kinds)s::jsonb,
    %(seconds)s
)
returning id
