-- Record the rows that a comparison names, given as a JSON array.
-- params: comparison_id, differences
insert into maintenance.comparison_difference (
    comparison_id, source_id, lower, kind, key, target_key, event_time, reason, expected, found
)
select
    %(comparison_id)s,
    d.source_id,
    d.lower,
    d.kind,
    d.key,
    d.target_key,
    d.event_time,
    d.reason,
    d.expected::jsonb,
    d.found::jsonb
from jsonb_to_recordset(%(differences)s::jsonb) as d (
    source_id integer, lower timestamptz, kind text, key text, target_key text, event_time timestamptz, reason text,
    expected text, found text
)
