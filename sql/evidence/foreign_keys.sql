-- Foreign keys to and from the sources: a view can be neither end of one (M4).
-- params: declared
select
    s.relation,
    k.conname::text as foreign_key,
    case when k.confrelid = s.relation_oid then 'to it' else 'from it' end as direction,
    k.conrelid::regclass::text as referencing,
    k.confrelid::regclass::text as referenced,
    k.confrelid is distinct from s.relation_oid as is_from_it
from maintenance.declared_sources(%(declared)s::jsonb) as s
inner join pg_catalog.pg_constraint as k on k.contype = 'f' and s.relation_oid in (k.conrelid, k.confrelid)
order by s.relation, foreign_key
