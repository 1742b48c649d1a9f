-- User triggers of a legacy table, what each needs of a view that takes its name, and whether the view can give it.
-- params: relation_oid
select
    t.tgname::text as name,
    t.tgenabled::text as state,
    t.tgtype & 1 = 1 as is_row,
    t.tgtype & 2 = 2 as is_before,
    t.tgqual is not null or t.tgattr::text <> '' or t.tgoldtable is not null or t.tgnewtable is not null or t.tgconstraint <> 0
        as is_conditional,
    array_to_string(array[
        case when t.tgtype & 4 = 4 then 'insert' end,
        case when t.tgtype & 16 = 16 then 'update' end,
        case when t.tgtype & 8 = 8 then 'delete' end
    ], ' or ') as events,
    t.tgtype & 32 = 32 as is_truncate,
    format('%%I.%%I', n.nspname, p.proname) || substring(pg_get_triggerdef(t.oid) from '\([^()]*\)$') as call
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
inner join pg_catalog.pg_namespace as n on p.pronamespace = n.oid
where t.tgrelid = %(relation_oid)s and not t.tgisinternal and n.nspname <> 'maintenance'
order by t.tgname
