-- The partitioned table itself: what it must be before anything is built on it.
-- params: declared
select
    d.target ->> 'relation' as relation,
    c.oid is not null as exists,
    coalesce(c.relkind = 'p', false) as is_partitioned,
    coalesce(a.attname = d.target ->> 'by', false) as is_partitioned_as_declared,
    coalesce(pg_has_role(c.relowner, 'usage'), false) as is_owned,
    pg_get_userbyid(c.relowner)::text as owner,
    exists (
        select from pg_catalog.pg_index as i
        where i.indrelid = c.oid and i.indisprimary and p.partattrs[0] = any(i.indkey)
    ) as has_primary_key,
    coalesce(c.relrowsecurity, false) as has_row_security,
    coalesce(p.partdefid <> 0, false) as has_default_partition,
    (
        select count(*) from pg_catalog.pg_constraint as k where k.confrelid = c.oid and k.contype = 'f'
    ) as foreign_keys_to_it
from (select %(declared)s::jsonb -> 'target' as target) as d
left join pg_catalog.pg_class as c on maintenance.declared_relation(d.target) = c.oid
left join pg_catalog.pg_partitioned_table as p on c.oid = p.partrelid
left join pg_catalog.pg_attribute as a on c.oid = a.attrelid and p.partattrs[0] = a.attnum and p.partnatts = 1
