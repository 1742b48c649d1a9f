-- The legacy tables of a migration in declared order: the first keeps a collision.
-- params: migration
select
    s.id, s.code, s.relation, s.relation_oid, s.aside, s.position,
    s.key_column, s.key_type, s.time_column, s.time_type, s.zone, s.forward, s.backward, s.owns
from maintenance.source as s
where s.migration = %(migration)s
order by s.position
