-- What would silently stop working when a view takes the place of a table.
-- params: relation_oid
select format('the foreign key %%s of %%s refers to it', k.conname, k.conrelid::regclass) as reason
from pg_catalog.pg_constraint as k
where k.confrelid = %(relation_oid)s and k.contype = 'f'
union all
select format('its foreign key %%s would no longer be enforced', k.conname)
from pg_catalog.pg_constraint as k
where k.conrelid = %(relation_oid)s and k.contype = 'f'
union all
select format('its exclusion constraint %%s would no longer be enforced', k.conname)
from pg_catalog.pg_constraint as k
where k.conrelid = %(relation_oid)s and k.contype = 'x'
union all
select format('its unique index %%s would no longer be enforced', i.indexrelid::regclass)
from pg_catalog.pg_index as i
where i.indrelid = %(relation_oid)s and i.indisunique and not i.indisprimary
union all
select format('the publication %%s publishes it', p.pubname)
from pg_catalog.pg_publication_rel as r
inner join pg_catalog.pg_publication as p on r.prpubid = p.oid
where r.prrelid = %(relation_oid)s
union all
select format('it has the rule %%s', r.rulename)
from pg_catalog.pg_rewrite as r
where r.ev_class = %(relation_oid)s
union all
select format('its column %%s is generated', a.attname)
from pg_catalog.pg_attribute as a
where a.attrelid = %(relation_oid)s and a.attgenerated <> '' and not a.attisdropped
union all
select format('its column %%s draws from the sequence %%s, which only a key can keep', a.attname, d.objid::regclass)
from pg_catalog.pg_depend as d
inner join pg_catalog.pg_class as s on d.objid = s.oid and s.relkind = 'S'
inner join pg_catalog.pg_attribute as a on d.refobjid = a.attrelid and d.refobjsubid = a.attnum
where
    d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.refobjid = %(relation_oid)s and d.deptype in ('a', 'i')
    and not exists (select from pg_catalog.pg_index as i where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey))
