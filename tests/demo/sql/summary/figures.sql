-- What the ledger says of the whole run: the comparison, the cutover's lock, the partitions and their archives.
-- params: migration
select
    (
        select c.rows_compared
        from maintenance.comparison as c
        where c.migration = %(migration)s and not c.is_partial
        order by c.id desc
        limit 1
    ) as rows_compared,
    (select k.locked_ms from maintenance.cutover as k where k.migration = %(migration)s) as locked_ms,
    (select count(*) from maintenance.unit as u where u.migration = %(migration)s and u.kind = 'aside') as partitions_built
