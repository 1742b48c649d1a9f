-- Judge every quarantined row of one source by its legacy row: stale where that has gone, changed, or is mapped otherwise (M2).
-- identifiers: legacy, key, forward, id
-- literals: source_id, span_from, span_to, limit
-- fragments: key_type, id_type
-- locks: ACCESS SHARE on legacy
with judged as (
    select
        q.key,
        q.target_key,
        q.event_time,
        q.reason,
        q.legacy_row,
        to_jsonb(l) as present_row,
        l.{key} is null as is_gone,
        l.{key} is null
        or to_jsonb(l) <> q.legacy_row
        or case
            when q.target_key is null then f.reason is distinct from q.reason
            else f.reason is not null or f.{id} is distinct from q.target_key::{id_type}
        end as is_stale
    from maintenance.quarantine as q
    left join {legacy} as l on q.key::{key_type} = l.{key}
    left join lateral {forward}(l, {span_from}, {span_to}) as f on true
    where
        q.source_id = {source_id}
        and q.key not in (select c.key from maintenance.capture as c where c.source_id = {source_id})
)

select
    'stale' as kind,
    count(*) over () as kind_rows,
    j.key,
    j.target_key,
    j.event_time::text as event_time,
    j.reason,
    case when not j.is_gone then maintenance.bounded_json(j.present_row)::text end as expected,
    maintenance.bounded_json(j.legacy_row)::text as found
from judged as j
where j.is_stale
order by j.key
limit {limit}
