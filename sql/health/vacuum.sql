-- Tables with more dead rows than autovacuum should have left, by their own settings where they have some; the worst twenty.
select v.relation, v.dead, v.threshold::bigint as threshold, v.last_vacuum, v.is_switched_off
from (
    select
        c.oid::regclass::text as relation,
        s.n_dead_tup as dead,
        coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold'))::double precision
        + coalesce(o.factor, current_setting('autovacuum_vacuum_scale_factor'))::double precision * greatest(c.reltuples, 0) as threshold,
        greatest(s.last_vacuum, s.last_autovacuum) as last_vacuum,
        coalesce(o.enabled, 'true') in ('false', 'off', 'no', '0') as is_switched_off
    from pg_catalog.pg_stat_user_tables as s
    inner join pg_catalog.pg_class as c on s.relid = c.oid
    cross join lateral (
        select
            max(p.option_value) filter (where p.option_name = 'autovacuum_vacuum_threshold') as threshold,
            max(p.option_value) filter (where p.option_name = 'autovacuum_vacuum_scale_factor') as factor,
            max(p.option_value) filter (where p.option_name = 'autovacuum_enabled') as enabled
        from pg_options_to_table(c.reloptions) as p
    ) as o
    where not exists (select from pg_catalog.pg_stat_progress_vacuum as r where r.relid = c.oid)
) as v
where v.dead > v.threshold
order by v.dead desc
limit 20
