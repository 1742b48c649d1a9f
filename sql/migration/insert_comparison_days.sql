-- Record the sides of every source and unit of a comparison, given as a JSON array.
-- params: comparison_id, days
insert into maintenance.comparison_day (
    comparison_id, source_id, lower, upper, legacy_rows, legacy_kept, legacy_hash, refused, collided, unquarantined,
    in_flight, unified_rows, unified_hash
)
select
    %(comparison_id)s,
    d.source_id,
    d.lower,
    d.upper,
    d.legacy_rows,
    d.legacy_kept,
    d.legacy_hash,
    d.refused,
    d.collided,
    d.unquarantined,
    d.in_flight,
    d.unified_rows,
    d.unified_hash
from jsonb_to_recordset(%(days)s::jsonb) as d (
    source_id integer, lower timestamptz, upper timestamptz, legacy_rows bigint, legacy_kept bigint, legacy_hash text,
    refused bigint, collided bigint, unquarantined bigint, in_flight bigint, unified_rows bigint, unified_hash text
)
