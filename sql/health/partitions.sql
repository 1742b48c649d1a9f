-- Every declared table and its partitions, with rows as the statistics know them and bytes with indexes.
-- params: tables
select
    t.facts ->> 'relation' as table,
    k.relkind::text as kind,
    p.schema || '.' || p.name as partition,
    p.is_pending_detach,
    p.is_default,
    p.lower,
    p.upper,
    greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) as rows,
    pg_total_relation_size(c.oid) as bytes,
    (
        select count(*) from maintenance.retirement as r
        where r.parent = t.facts ->> 'relation' and r.state in ('detached', 'archiving', 'archived')
    ) as waiting
from jsonb_array_elements(%(tables)s::jsonb) with ordinality as t (facts, place)
left join pg_catalog.pg_class as k on maintenance.declared_relation(t.facts) = k.oid
left join maintenance.partition as p on k.oid = p.parent_oid
left join pg_catalog.pg_class as c on p.relation_oid = c.oid
order by t.place, p.lower nulls first
