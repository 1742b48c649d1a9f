-- Half of the mapped rows as a new table, from all five sources in one statement: no ledger, no quarantine, no constraint.
-- A row of the third source whose id an earlier source holds too is left out.
-- identifiers: half, source_1, source_2, source_3, source_4, source_5, forward_1, forward_2, forward_3, forward_4, forward_5
-- literals: lower, upper, span_from, span_to, doubled
-- locks: ACCESS SHARE on the five tables
create table {half} as
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
