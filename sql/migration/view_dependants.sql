-- What depends on a relation beside its own parts and maintenance's functions: a view or function can be made anew under its
-- name with the definition given here, anything else cannot.
-- params: relation_oid
with found as (
    select distinct
        case when r.ev_class is not null then 'pg_catalog.pg_class'::regclass else d.classid end as class_oid,
        coalesce(r.ev_class, d.objid) as object_oid
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_type as t on c.reltype = t.oid
    inner join pg_catalog.pg_depend as d
        on
            (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = c.oid)
            or (d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid in (t.oid, t.typarray))
    left join pg_catalog.pg_rewrite as r on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
    where
        c.oid = %(relation_oid)s and d.deptype = 'n' and r.ev_class is distinct from c.oid
        and d.classid not in (
            'pg_catalog.pg_constraint'::regclass, 'pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_attrdef'::regclass
        )
        and not exists (
            select from pg_catalog.pg_policy as p
            where d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid and p.polrelid = c.oid
        )
)

select
    case
        when v.relkind = 'v' then 'view'
        when v.relkind = 'm' then 'materialized view'
        when p.prokind in ('f', 'p') then 'function'
        else 'other'
    end as kind,
    coalesce(vn.nspname || '.' || v.relname, pn.nspname || '.' || p.proname, pg_describe_object(f.class_oid, f.object_oid, 0)) as name,
    case
        when v.relkind = 'v' then format(
            'create or replace view %%I.%%I%%s as %%s',
            vn.nspname, v.relname, ' with (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid)
        )
        when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid)
    end as definition
from found as f
left join pg_catalog.pg_class as v on f.class_oid = 'pg_catalog.pg_class'::regclass and f.object_oid = v.oid
left join pg_catalog.pg_namespace as vn on v.relnamespace = vn.oid
left join pg_catalog.pg_proc as p on f.class_oid = 'pg_catalog.pg_proc'::regclass and f.object_oid = p.oid
left join pg_catalog.pg_namespace as pn on p.pronamespace = pn.oid
where pn.nspname is distinct from 'maintenance'
order by 1, 2
