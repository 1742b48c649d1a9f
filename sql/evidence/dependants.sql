-- What holds on to a source by its identity and so would stay behind with the table at cutover: views, matviews, functions with
-- its row type, policies of other tables. Each is declared, or blocks (design 9).
-- params: declared
select distinct
    s.relation,
    pg_describe_object(f.class_oid, f.object_oid, 0) as dependant,
    coalesce(s.facts -> 'dependants' ? coalesce(vn.nspname || '.' || v.relname, pn.nspname || '.' || p.proname), false) as is_declared
from maintenance.declared_sources(%(declared)s::jsonb) as s
inner join pg_catalog.pg_class as c on s.relation_oid = c.oid
inner join pg_catalog.pg_type as t on c.reltype = t.oid
inner join pg_catalog.pg_depend as d
    on
        d.deptype = 'n'
        and (
            (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid)
            or (d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid in (t.oid, t.typarray))
        )
left join pg_catalog.pg_rewrite as r on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
cross join lateral (
    select
        case when r.oid is null then d.classid else 'pg_catalog.pg_class'::regclass end as class_oid,
        coalesce(r.ev_class, d.objid) as object_oid
) as f
left join pg_catalog.pg_class as v on f.class_oid = 'pg_catalog.pg_class'::regclass and f.object_oid = v.oid
left join pg_catalog.pg_namespace as vn on v.relnamespace = vn.oid
left join pg_catalog.pg_proc as p on f.class_oid = 'pg_catalog.pg_proc'::regclass and f.object_oid = p.oid
left join pg_catalog.pg_namespace as pn on p.pronamespace = pn.oid
left join pg_catalog.pg_policy as y on f.class_oid = 'pg_catalog.pg_policy'::regclass and f.object_oid = y.oid
where
    d.classid not in (
        'pg_catalog.pg_constraint'::regclass, 'pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_attrdef'::regclass
    )
    and f.object_oid <> c.oid and y.polrelid is distinct from c.oid
    and pn.nspname is distinct from 'maintenance'
    -- After cutover the view under the old name reads the target, never the table; a default's sequence goes with its column.
    and coalesce(v.relkind, '') not in ('S', 'i', 't')
order by s.relation, dependant
