-- The verified archives of a legacy table made for this migration, newest first; those from before a way back do not count.
-- params: migration, relation_oid
select
    b.id,
    b.snapshot_at,
    b.row_count,
    b.path,
    b.manifest,
    b.snapshot_at > coalesce(m.rolled_back_at, '-infinity') as is_current
from maintenance.backup as b
inner join maintenance.migration as m on b.migration = m.name
where b.migration = %(migration)s and b.relation_oid = %(relation_oid)s
order by b.id desc
