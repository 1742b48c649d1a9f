-- Record what a unit did for each source.
-- params: unit_id, source_ids, copied, quarantined
insert into maintenance.unit_source (unit_id, source_id, rows_copied, rows_quarantined)
select %(unit_id)s, c.source_id, c.copied, c.quarantined
from unnest(%(source_ids)s::integer[], %(copied)s::bigint[], %(quarantined)s::bigint[]) as c (source_id, copied, quarantined)
on conflict (unit_id, source_id) do update
set rows_copied = excluded.rows_copied, rows_quarantined = excluded.rows_quarantined
