-- Half of the mapped rows as a new table, from all five sources in one statement: no ledger, no quarantine, no constraint.
-- A row of the third source whose id an earlier source holds too is left out.
-- identifiers: half, source_1, source_2, source_3, source_4, source_5, forward_1, forward_2, forward_3, forward_4, forward_5
-- literals: lower, upper, span_from, span_to, doubled
-- locks: ACCESS SHARE on the five tables
create table {half} as
select
    m.id,
    m.event_type,
    m.event_category,
    m.source_system,
    m.event_timestamp,
    m.created_at,
    m.updated_at,
    m.event_data,
    m.event_metrics,
    m.event_metadata,
    m.severity,
    m.status,
    m.priority,
    m.retry_count,
    m.max_retries,
    m.resolved_at,
    m.duration_ms,
    m.data_size_bytes,
    m.response_time_ms,
    m.correlation_id,
    m.user_id,
    m.session_id
from (
    select f.*
    from {source_1} as s
    cross join lateral {forward_1}(s, {span_from}, {span_to}) as f
    where f.event_timestamp >= {lower} and f.event_timestamp < {upper} and f.reason is null
    union all
    select f.*
    from {source_2} as s
    cross join lateral {forward_2}(s, {span_from}, {span_to}) as f
    where f.event_timestamp >= {lower} and f.event_timestamp < {upper} and f.reason is null
    union all
    select f.*
    from {source_3} as s
    cross join lateral {forward_3}(s, {span_from}, {span_to}) as f
    where f.event_timestamp >= {lower} and f.event_timestamp < {upper} and f.reason is null and s.id <> all({doubled}::uuid[])
    union all
    select f.*
    from {source_4} as s
    cross join lateral {forward_4}(s, {span_from}, {span_to}) as f
    where f.event_timestamp >= {lower} and f.event_timestamp < {upper} and f.reason is null
    union all
    select f.*
    from {source_5} as s
    cross join lateral {forward_5}(s, {span_from}, {span_to}) as f
    where f.event_timestamp >= {lower} and f.event_timestamp < {upper} and f.reason is null
) as m
