-- The view of partitions reads each bound once. PostgreSQL had put the expression in wherever its result is used, so that a bound
-- was deparsed and matched some ten times a partition; OFFSET 0 keeps it from that. Columns and values are the same: of a key of one
-- column of time, the only one that is read, each bound is a word without quotes or one text between them.
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
left join pg_catalog.pg_attribute as a on i.inhparent = a.attrelid and p.partattrs[0] = a.attnum and p.partnatts = 1
cross join lateral (select pg_catalog.pg_get_expr(c.relpartbound, c.oid) offset 0) as b (expression)
cross join lateral (
    select
        case when b.expression like 'FOR VALUES FROM (''%' then split_part(b.expression, '''', 2) end,
        case when b.expression like 'FOR VALUES FROM (%'')' then split_part(b.expression, '''', -2) end
    offset 0
) as m (lower, upper)
-- A key without time zone is read as UTC whatever the session's zone; the text of one with it says its offset.
cross join lateral (
    select case a.atttypid
        when 'timestamptz'::regtype then m.lower::timestamptz
        when 'timestamp'::regtype then m.lower::timestamp at time zone 'UTC'
        when 'date'::regtype then m.lower::timestamp at time zone 'UTC'
    end
    offset 0
) as l (value)
cross join lateral (
    select case a.atttypid
        when 'timestamptz'::regtype then m.upper::timestamptz
        when 'timestamp'::regtype then m.upper::timestamp at time zone 'UTC'
        when 'date'::regtype then m.upper::timestamp at time zone 'UTC'
    end
    offset 0
) as u (value);
