-- User triggers of the sources: each is declared as replaced or disabled, or blocks (design 9).
-- params: declared
select
    s.relation,
    t.tgname::text as trigger,
    case t.tgenabled when 'O' then 'origin' when 'A' then 'always' when 'R' then 'replica' else 'disabled' end as state,
    s.facts -> 'triggers' ? t.tgname::text as is_declared
from maintenance.declared_sources(%(declared)s::jsonb) as s
inner join pg_catalog.pg_trigger as t on s.relation_oid = t.tgrelid and not t.tgisinternal
inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
where n.nspname <> 'maintenance'
order by s.relation, trigger
