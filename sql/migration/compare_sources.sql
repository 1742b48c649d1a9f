-- Each source's present name (it changes at cutover), and its keys in flight and in quarantine in this snapshot.
-- params: migration
select
    s.id,
    n.nspname as schema,
    c.relname as name,
    (select count(distinct k.key) from maintenance.capture as k where k.source_id = s.id) as in_flight,
    (select count(*) from maintenance.quarantine as q where q.source_id = s.id) as quarantined,
    (select count(*) from maintenance.quarantine as q where q.source_id = s.id and q.target_key is not null) as collided
from maintenance.source as s
left join pg_catalog.pg_class as c on s.relation_oid = c.oid
left join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where s.migration = %(migration)s
order by s.position
