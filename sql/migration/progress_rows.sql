-- Rows that a migration's units have handled, and about how many its legacy tables hold.
-- params: migration
select
    (
        select coalesce(sum(u.rows_copied + u.rows_quarantined), 0)::bigint
        from maintenance.unit as u
        where u.migration = %(migration)s
    ) as done,
    (
        select sum(case when c.reltuples >= 0 then c.reltuples end)::bigint
        from maintenance.source as s
        inner join pg_catalog.pg_class as c on s.relation_oid = c.oid
        where s.migration = %(migration)s
    ) as total
