-- Both sides of the newest comparison by source and partition: rows, sums of row hashes as text, quarantine, in flight (M7).
-- params: declared
select
    s.relation as source,
    d.lower,
    d.upper,
    d.legacy_rows,
    d.legacy_kept,
    d.unified_rows,
    d.legacy_hash,
    d.unified_hash,
    d.refused + d.collided as quarantined,
    d.unquarantined,
    d.in_flight,
    d.legacy_rows - d.in_flight as legacy_judged,
    d.legacy_kept + d.refused + d.collided as kept_and_quarantined
from maintenance.comparison_day as d
inner join maintenance.source as s on d.source_id = s.id
where
    d.comparison_id = (
        select max(c.id) from maintenance.comparison as c
        where c.migration = %(declared)s::jsonb ->> 'migration' and not c.is_partial
    )
order by s.position, d.lower nulls last
