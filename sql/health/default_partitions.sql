-- The default partition of each declared table that has one, and whether it may be read.
-- params: tables
select
    t.facts ->> 'relation' as table,
    p.schema,
    p.name,
    has_schema_privilege(p.schema, 'usage') and has_table_privilege(p.relation_oid, 'select') as is_readable
from jsonb_array_elements(%(tables)s::jsonb) as t (facts)
inner join maintenance.partition as p on maintenance.declared_relation(t.facts) = p.parent_oid
where p.is_default
