-- Both sides of a comparison by source and partition; bounds are null for rows whose time lies in no partition.
-- params: comparison_id
select
    s.relation as source, s.position, d.lower, d.upper,
    d.legacy_rows, d.legacy_kept, d.refused + d.collided as quarantined, d.in_flight, d.unified_rows,
    d.legacy_hash = d.unified_hash as is_equal
from maintenance.comparison_day as d
inner join maintenance.source as s on d.source_id = s.id
where d.comparison_id = %(comparison_id)s
order by s.position, d.lower nulls last
