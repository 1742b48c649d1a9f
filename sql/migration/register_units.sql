-- Register units that are due; one that an interrupted run loaded stays loaded, so that its table is attached or replaced.
-- params: migration, target, generation, mapping_version, run_id, kinds, lowers, uppers, partitions
insert into maintenance.unit as u (migration, target, kind, lower, upper, partition, generation, mapping_version, run_id)
select
    %(migration)s, %(target)s, d.kind, d.lower, d.upper, d.partition, %(generation)s, %(mapping_version)s, %(run_id)s
from unnest(
    %(kinds)s::text[], %(lowers)s::timestamptz[], %(uppers)s::timestamptz[], %(partitions)s::text[]
) as d (kind, lower, upper, partition)
on conflict (migration, kind, lower) do update
set
    upper = excluded.upper,
    partition = case u.state when 'loaded' then u.partition else excluded.partition end,
    state = case u.state when 'loaded' then 'loaded' else 'planned' end,
    generation = case u.state when 'loaded' then u.generation else excluded.generation end,
    mapping_version = case u.state when 'loaded' then u.mapping_version else excluded.mapping_version end,
    run_id = excluded.run_id,
    started_at = null,
    ended_at = null
