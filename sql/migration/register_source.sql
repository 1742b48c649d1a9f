-- Register a legacy table of a migration, or put its row right.
-- params: migration, code, relation, relation_oid, aside, position, key_column, key_type, time_column, time_type, zone, forward, backward, owns
insert into maintenance.source as s (
    migration, code, relation, relation_oid, aside, position,
    key_column, key_type, time_column, time_type, zone, forward, backward, owns
)
values (
    %(migration)s, %(code)s, %(relation)s, %(relation_oid)s, %(aside)s, %(position)s,
    %(key_column)s, %(key_type)s, %(time_column)s, %(time_type)s, %(zone)s, %(forward)s, %(backward)s, %(owns)s
)
on conflict (migration, code) do update
set
    relation = excluded.relation,
    relation_oid = excluded.relation_oid,
    aside = excluded.aside,
    position = excluded.position,
    key_column = excluded.key_column,
    key_type = excluded.key_type,
    time_column = excluded.time_column,
    time_type = excluded.time_type,
    zone = excluded.zone,
    forward = excluded.forward,
    backward = excluded.backward,
    owns = excluded.owns
where row(
    s.relation, s.relation_oid, s.aside, s.position, s.key_column, s.key_type, s.time_column, s.time_type, s.zone,
    s.forward, s.backward, s.owns
) is distinct from row(
    excluded.relation, excluded.relation_oid, excluded.aside, excluded.position, excluded.key_column, excluded.key_type,
    excluded.time_column, excluded.time_type, excluded.zone, excluded.forward, excluded.backward, excluded.owns
)
