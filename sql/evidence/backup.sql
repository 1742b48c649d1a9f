-- What each source can be restored from, should all else fail: a verified archive of ours, or a backup taken by other means (M9).
-- params: declared
select
    f.relation,
    f.declared,
    f.snapshot_at,
    f.row_count,
    f.content_hash,
    f.path,
    f.is_backed_up,
    case
        when f.is_backed_up then null
        when f.declared = 'archive' then 'run backfill or migrate, which makes the archive before it asks this gate'
        else 'declare backup: archive under the migration, or name there a backup taken by other means, with its time'
    end as remedy
from (
    select
        s.place,
        s.relation,
        d.facts ->> 'backup' as declared,
        b.snapshot_at,
        b.row_count,
        b.content_hash,
        b.path,
        case d.facts ->> 'backup'
            when 'archive' then b.id is not null
            else coalesce(d.facts ->> 'backup', '') <> ''
        end as is_backed_up
    from maintenance.declared_sources(%(declared)s::jsonb) as s
    cross join (select %(declared)s::jsonb as facts) as d
    left join lateral (
        select r.*
        from maintenance.backup as r
        inner join maintenance.migration as m on r.migration = m.name
        where
            r.migration = d.facts ->> 'migration' and r.relation_oid = s.relation_oid
            and r.snapshot_at > coalesce(m.rolled_back_at, '-infinity')
        order by r.id desc
        limit 1
    ) as b on true
) as f
order by f.place
