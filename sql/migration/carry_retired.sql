-- Partitions that retention has taken out and not dropped yet, which hold times of this batch.
-- identifiers: room
-- params: parent
select n.nspname as schema, c.relname as name, r.lower, r.upper
from maintenance.retirement as r
inner join pg_catalog.pg_class as c on r.partition_oid = c.oid and c.relkind = 'r'
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    r.parent = %(parent)s and r.state in ('detaching', 'detached', 'archiving', 'archived')
    and not exists (select from pg_catalog.pg_inherits as i where i.inhrelid = c.oid)
    and exists (select from {room} as m where m.at >= r.lower and m.at < r.upper)
