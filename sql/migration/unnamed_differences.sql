-- Units of a source that differ, where a comparison found more rows of some kind than it named.
-- params: comparison_id
select d.source_id, d.lower, d.upper
from maintenance.comparison_day as d
inner join maintenance.comparison as c on d.comparison_id = c.id
where
    d.comparison_id = %(comparison_id)s and d.lower is not null
    and (d.legacy_kept <> d.unified_rows or d.legacy_hash <> d.unified_hash or d.unquarantined > 0)
    and c.differing > (select count(*) from maintenance.comparison_difference as n where n.comparison_id = c.id)
