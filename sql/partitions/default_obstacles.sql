-- Why rows of a default partition must not be moved by DELETE and INSERT: somebody acts on the DELETE.
-- params: schema, name
with relation as (
    select c.oid
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = %(schema)s and c.relname = %(name)s
)

select format('its trigger %%s fires on DELETE; disable it for the move or move them by hand', t.tgname) as reason
from pg_catalog.pg_trigger as t
inner join relation as r on t.tgrelid = r.oid
where not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype & 8 = 8
union all
select format('the foreign key %%s of %%s refers to it; move them by hand', k.conname, k.conrelid::regclass)
from pg_catalog.pg_constraint as k
inner join relation as r on k.confrelid = r.oid
where k.contype = 'f'
