-- Each declared legacy table: whether it can be captured, copied by time, and read whole.
-- params: declared
select
    s.relation,
    c.oid is not null as exists,
    coalesce(c.relkind = 'r' and c.relpersistence = 'p', false) as is_ordinary_table,
    coalesce(pg_has_role(c.relowner, 'usage'), false) as is_owned,
    pg_get_userbyid(c.relowner)::text as owner,
    (
        select count(*) from pg_catalog.pg_index as i cross join lateral unnest(i.indkey) as u (attnum)
        where i.indrelid = c.oid and i.indisprimary
    ) as key_columns,
    a.attname is not null as has_time_column,
    format_type(a.atttypid, null) as time_type,
    coalesce(format_type(a.atttypid, null) in ('timestamp with time zone', 'timestamp without time zone', 'date'), false)
        as is_time,
    exists (
        select from pg_catalog.pg_index as i
        where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indkey[0] = a.attnum
    ) as has_time_index,
    exists (select from pg_catalog.pg_inherits as h where h.inhparent = c.oid) as has_children,
    coalesce(c.relforcerowsecurity, false) as forces_row_security,
    greatest(c.reltuples, 0)::bigint as rows_estimated,
    pg_total_relation_size(c.oid) as size_bytes
from maintenance.declared_sources(%(declared)s::jsonb) as s
left join pg_catalog.pg_class as c on s.relation_oid = c.oid
left join pg_catalog.pg_attribute as a on c.oid = a.attrelid and s.facts ->> 'time' = a.attname and not a.attisdropped
order by s.place
