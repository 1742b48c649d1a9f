-- Record that a partition stands as a table again, loaded from its archive and not attached yet: it waits like any detached one.
-- params: id, run_id, as_of, schema, name
with rebuilt as (
    insert into maintenance.retirement (parent, partition, partition_oid, lower, upper, state, reason, run_id, due_at, detached_at)
    select
        r.parent,
        %(schema)s || '.' || %(name)s,
        c.oid,
        r.lower,
        r.upper,
        'detached',
        'loaded from its archive, not attached yet',
        %(run_id)s,
        %(as_of)s,
        greatest(%(as_of)s::timestamptz, clock_timestamp())
    from maintenance.retirement as r
    cross join pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    where r.id = %(id)s and n.nspname = %(schema)s and c.relname = %(name)s
    returning partition
)

update maintenance.retirement as r
set note = 'restored from its archive by run ' || %(run_id)s::bigint, changed_at = clock_timestamp()
where r.id = %(id)s
