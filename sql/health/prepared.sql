-- Prepared transactions of this database: they keep locks and dead rows, and survive a restart.
select p.gid, p.owner::text as owner, p.prepared as prepared_at
from pg_catalog.pg_prepared_xacts as p
where p.database = current_database()
order by p.prepared
