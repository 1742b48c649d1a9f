-- The view of partitions opens none of them. pg_get_expr was given the partition, which it opened for the names of its columns, of
-- which a bound has none: from PostgreSQL 16 on it waited for whoever had the partition locked, and it cost a session three quarters of
-- the time. The type of the key is looked up by both columns of its index; the join read every column of the parent once a partition.
-- Columns and values are the same.
create or replace view maintenance.partition as
select
    i.inhparent as parent_oid,
    c.oid as relation_oid,
    n.nspname as schema,
    c.relname as name,
    i.inhdetachpending as is_pending_detach,
    c.relkind = 'r' as is_leaf,
    b.expression = 'DEFAULT' as is_default,
    case when l.value between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then l.value end as lower,
    case when u.value between '0001-01-02 00:00:00+00' and '9999-12-30 00:00:00+00' then u.value end as upper
from pg_catalog.pg_inherits as i
inner join pg_catalog.pg_partitioned_table as p on i.inhparent = p.partrelid
inner join pg_catalog.pg_class as c on i.inhrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
    select (
        select a.atttypid
        from pg_catalog.pg_attribute as a
        where a.attrelid = i.inhparent and a.attnum = p.partattrs[0] and p.partnatts = 1
    )
    offset 0
) as k (type)
cross join lateral (select pg_catalog.pg_get_expr(c.relpartbound, 0) offset 0) as b (expression)
cross join lateral (
    select
        case when b.expression like 'FOR VALUES FROM (''%' then split_part(b.expression, '''', 2) end,
        case when b.expression like 'FOR VALUES FROM (%'')' then split_part(b.expression, '''', -2) end
    offset 0
) as m (lower, upper)
-- A key without time zone is read as UTC whatever the session's zone; the text of one with it says its offset.
cross join lateral (
    select case k.type
        when 'timestamptz'::regtype then m.lower::timestamptz
        when 'timestamp'::regtype then m.lower::timestamp at time zone 'UTC'
        when 'date'::regtype then m.lower::timestamp at time zone 'UTC'
    end
    offset 0
) as l (value)
cross join lateral (
    select case k.type
        when 'timestamptz'::regtype then m.upper::timestamptz
        when 'timestamp'::regtype then m.upper::timestamp at time zone 'UTC'
        when 'date'::regtype then m.upper::timestamp at time zone 'UTC'
    end
    offset 0
) as u (value);
