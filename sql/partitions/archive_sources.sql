-- For a migration's target: one branch per source, which says as SQL whether a row of a detached partition belongs to it.
-- A column that the target got after the detach is null there. What a way back takes out has the migration's name in its parent.
-- params: parent, oid
select
    m.name as migration,
    m.mapping_version,
    s.code,
    s.relation,
    format(
        'when maintenance.%%I(row(%%s)::%%s) then %%s',
        s.owns,
        string_agg(case when b.attname is null then 'null' else format('r.%%I', a.attname) end, ', ' order by a.attnum),
        p.oid::regclass,
        s.code
    ) as branch
from maintenance.migration as m
inner join maintenance.source as s on m.name = s.migration
inner join pg_catalog.pg_class as p on to_regclass(m.target) = p.oid
inner join pg_catalog.pg_attribute as a on p.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_attribute as b on b.attrelid = %(oid)s and a.attname = b.attname and b.attnum > 0 and not b.attisdropped
where
    %(parent)s in (m.target, m.target || ' of ' || m.name)
    and m.phase in ('cut_over', 'rolled_back', 'retired')
    and to_regproc('maintenance.' || s.owns) is not null
group by m.name, m.mapping_version, s.code, s.relation, s.owns, s.position, p.oid
order by s.position
