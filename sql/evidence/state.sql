-- What a verdict is bound to, now: schema fingerprint, mapping version, capture generation; and the server's clock (design 8).
-- params: declared
select
    maintenance.schema_fingerprint(%(declared)s::jsonb) as fingerprint,
    m.mapping_version,
    m.generation,
    coalesce(
        m.generation = 0
        or m.phase not in ('capturing')
        or m.trigger_state is not distinct from (
            select string_agg(a.fact, E'\n' order by a.fact)
            from maintenance.source as o
            cross join lateral maintenance.capture_triggers(o.id) as a
            where o.migration = m.name
        ),
        true
    ) as is_generation_current,
    clock_timestamp() as now
from (select 1 as one) as always
left join maintenance.migration as m on %(declared)s::jsonb ->> 'migration' = m.name
