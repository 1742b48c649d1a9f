-- What the catalog knows about partitions and indexes, in the form that every room reads (D3, D5).

-- Bounds come from the catalog alone, never from a name. Only range partitions over one column of a time type have any.
-- An infinity, and what a client cannot hold, is null like MINVALUE and MAXVALUE.
create view maintenance.partition as
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
cross join lateral (select pg_catalog.pg_get_expr(c.relpartbound, c.oid)) as b (expression)
cross join lateral (
    select regexp_match(b.expression, '^FOR VALUES FROM \((?:''([^'']*)''|M\w+)\) TO \((?:''([^'']*)''|M\w+)\)$')
) as m (texts)
-- A key without time zone is read as UTC whatever the session's zone; the text of one with it says its offset.
cross join lateral (
    select case a.atttypid
        when 'timestamptz'::regtype then m.texts[1]::timestamptz
        when 'timestamp'::regtype then m.texts[1]::timestamp at time zone 'UTC'
        when 'date'::regtype then m.texts[1]::timestamp at time zone 'UTC'
    end
) as l (value)
cross join lateral (
    select case a.atttypid
        when 'timestamptz'::regtype then m.texts[2]::timestamptz
        when 'timestamp'::regtype then m.texts[2]::timestamp at time zone 'UTC'
        when 'date'::regtype then m.texts[2]::timestamp at time zone 'UTC'
    end
) as u (value);
comment on view maintenance.partition is
'Direct children of partitioned tables with their bounds as instants; null bounds are unbounded, infinite or a default''s.';

-- Two indexes of tables with equal column names are alike when this text is equal: it leaves out only their names.
create function maintenance.index_definition(index_oid oid) returns text
language sql stable
set search_path = pg_catalog
as $$
    select case when i.indisunique then 'unique ' else '' end || substr(
        pg_get_indexdef(i.indexrelid),
        length(format(
            'CREATE %sINDEX %I ON %s%I.%I ',
            case when i.indisunique then 'UNIQUE ' end,
            x.relname,
            case when t.relkind = 'p' then 'ONLY ' end,
            n.nspname,
            t.relname
        )) + 1
    )
    from pg_index as i
    inner join pg_class as x on i.indexrelid = x.oid
    inner join pg_class as t on i.indrelid = t.oid
    inner join pg_namespace as n on t.relnamespace = n.oid
    where i.indexrelid = index_oid
$$;
comment on function maintenance.index_definition(oid) is
'Definition of an index from USING on, with "unique " before it on a unique one; every name in it is schema-qualified.';
