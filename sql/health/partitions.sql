-- Every declared table and its partitions, with rows as the statistics know them and bytes with indexes. A detach that waits for
-- readers is pending all the while: it is a run's work in progress as long as that run holds its lock (core/lock_holder).
-- params: tables
select
    t.facts ->> 'relation' as table,
    k.relkind::text as kind,
    quote_ident(p.schema) || '.' || quote_ident(p.name) as partition,
    p.is_pending_detach,
    p.is_pending_detach and exists (
        select from pg_catalog.pg_locks as l
        inner join maintenance.run as w on l.pid = w.backend_pid
        where
            l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and l.objsubid = 1
            and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
            and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('run:' || (t.facts ->> 'relation'), 0)
            and w.outcome = 'running' and w.flow in ('enforce_retention', 'restore_partition')
    ) as is_being_detached,
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
