-- How old the oldest transaction and multixact are that a database or a table still knows; the ten oldest tables.
select f.kind, f.object, f.xid_age, f.multixact_age, x.freeze_max_age, m.freeze_max_age as multixact_freeze_max_age
from (
    select 'database' as kind, quote_ident(d.datname) as object, age(d.datfrozenxid) as xid_age, mxid_age(d.datminmxid) as multixact_age
    from pg_catalog.pg_database as d
    union all
    (
        select 'table', c.oid::regclass::text, age(c.relfrozenxid), mxid_age(c.relminmxid)
        from pg_catalog.pg_class as c
        where c.relkind in ('r', 'm', 't') and c.relpersistence <> 't' and c.relfrozenxid <> '0'::xid
        order by greatest(age(c.relfrozenxid), mxid_age(c.relminmxid)) desc
        limit 10
    )
) as f
cross join (select current_setting('autovacuum_freeze_max_age')::bigint) as x (freeze_max_age)
cross join (select current_setting('autovacuum_multixact_freeze_max_age')::bigint) as m (freeze_max_age)
