-- Publications that hold a source (a view is never published) or the target (a backfill would go to every subscriber).
-- params: declared
with relations as (
    select 'source' as kind, s.relation, s.relation_oid from maintenance.declared_sources(%(declared)s::jsonb) as s
    union all
    select
        'target',
        %(declared)s::jsonb -> 'target' ->> 'relation',
        maintenance.declared_relation(%(declared)s::jsonb -> 'target')
)

select r.kind, r.relation, p.pubname::text as publication, p.puballtables as is_for_all_tables
from relations as r
inner join pg_catalog.pg_publication as p
    on
        p.puballtables
        or exists (select from pg_catalog.pg_publication_rel as x where x.prpubid = p.oid and x.prrelid = r.relation_oid)
        or exists (
            select
            from pg_catalog.pg_publication_namespace as x
            inner join pg_catalog.pg_class as c on x.pnnspid = c.relnamespace
            where x.pnpubid = p.oid and c.oid = r.relation_oid
        )
order by r.kind, r.relation, publication
