-- What a legacy table is: kind, key, type of its time column, and whether the target can hold its keys; one row where it exists.
-- params: schema, name, time, id_type
select
    c.oid as relation_oid,
    c.relkind::text as kind,
    c.relpersistence::text as persistence,
    pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    pg_catalog.pg_has_role(c.relowner, 'usage') as may_own,
    current_user::text as role_name,
    exists (select from pg_catalog.pg_inherits as i where i.inhparent = c.oid) as has_children,
    exists (select from pg_catalog.pg_subscription_rel as s where s.srrelid = c.oid) as is_subscribed,
    coalesce(k.columns, 0) as key_columns,
    k.name as key_column,
    k.type as key_type,
    case
        when k.type is not null then pg_catalog.to_regprocedure(format(
            'maintenance.target_id(%%s,integer,%%s)',
            case k.type when 'integer' then 'bigint' else k.type end,
            %(id_type)s::text
        ))
    end is not null as has_id,
    t.atttypid::regtype::text as time_type
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
left join pg_catalog.pg_attribute as t on c.oid = t.attrelid and t.attname = %(time)s and t.attnum > 0 and not t.attisdropped
left join lateral (
    select count(*) as columns, min(a.attname::text) as name, min(a.atttypid::regtype::text) as type
    from pg_catalog.pg_index as i
    inner join pg_catalog.pg_attribute as a on i.indrelid = a.attrelid and a.attnum = any(i.indkey)
    where i.indrelid = c.oid and i.indisprimary
) as k on true
where n.nspname = %(schema)s and c.relname = %(name)s
