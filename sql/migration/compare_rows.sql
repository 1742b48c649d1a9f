-- Name the rows that differ between one source and the target in one unit: a full join on the key where the hashes differ.
-- identifiers: legacy, key, forward, backward, owns, target, id, time
-- literals: source_id, span_from, span_to, limit
-- fragments: mapped_record, unified_record, legacy_within, unified_within, key_type
-- locks: ACCESS SHARE on legacy and target
with in_flight as materialized (
    select c.key from maintenance.capture as c where c.source_id = {source_id}
),

expected as (
    select
        l.{key}::text as key,
        f.{id} as id,
        f.{time} as at,
        to_jsonb(f) - 'reason' as mapped,
        hash_record_extended(row({mapped_record})::record, 0) as row_hash,
        row_number() over (partition by f.{id}, f.{time}) as copy
    from {legacy} as l
    cross join lateral {forward}(l, {span_from}, {span_to}) as f
    where
        {legacy_within} and f.reason is null and l.{key}::text not in (select i.key from in_flight as i)
        and l.{key}::text not in (
            select q.key from maintenance.quarantine as q where q.source_id = {source_id} and q.target_key is not null
        )
),

unified as (
    select
        u.{id} as id,
        u.{time} as at,
        (select b.{key}::text from {backward}(u) as b) as key,
        to_jsonb(u) as stored,
        hash_record_extended(row({unified_record})::record, 0) as row_hash
    from {target} as u
    where {unified_within} and {owns}(u)
    offset 0
),

found as (
    select u.*, row_number() over (partition by u.id, u.at) as copy
    from unified as u
    where u.key is null or u.key not in (select i.key from in_flight as i)
),

differing as (
    select
        coalesce(e.key, d.key) as key,
        coalesce(e.id, d.id)::text as target_key,
        coalesce(e.at, d.at)::timestamptz as event_time,
        e.mapped,
        d.stored,
        case
            when e.id is null then case
                when d.copy > 1 or exists (
                    select 1
                    from {legacy} as l
                    cross join lateral {forward}(l, {span_from}, {span_to}) as f
                    inner join {target} as u on f.{id} = u.{id} and f.{time} = u.{time}
                    where l.{key} = d.key::{key_type} and f.reason is null
                ) then 'doubled'
                else 'extra'
            end
            when d.id is null then 'missing'
            else 'unequal'
        end as kind
    from expected as e
    full join found as d on e.id = d.id and e.at = d.at and e.copy = d.copy
    where e.row_hash is distinct from d.row_hash
),

numbered as (
    select
        d.*,
        count(*) over (partition by d.kind) as kind_rows,
        row_number() over (partition by d.kind order by d.event_time, d.target_key) as place
    from differing as d
)

select
    n.kind,
    n.kind_rows,
    n.key,
    n.target_key,
    n.event_time::text as event_time,
    null as reason,
    maintenance.bounded_json(n.mapped)::text as expected,
    maintenance.bounded_json(n.stored)::text as found
from numbered as n
where n.place <= {limit}
order by n.kind, n.place
