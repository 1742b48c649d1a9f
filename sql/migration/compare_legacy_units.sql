-- Count and hash one source's legacy rows through the mapping, by unit: bounds are the lower bounds of adjoining units.
-- Refused rows are looked up in quarantine (M7). The inner OFFSET 0 has each row mapped once and not once per aggregate,
-- and lets the grouping sort nothing but two numbers.
-- hash_record_extended is linear in the hashes of its columns: its sum stays the same when two rows swap a value. So each
-- row's hash is hashed once more before it is added.
-- identifiers: legacy, key, time, forward
-- literals: source_id, span_from, span_to, zone, bounds
-- fragments: record, within
-- locks: ACCESS SHARE on legacy
select
    s.place,
    count(*) as legacy_rows,
    count(*) filter (where s.state = 1) as legacy_kept,
    coalesce(sum(s.row_hash) filter (where s.state = 1), 0)::text as legacy_hash,
    count(*) filter (where s.state = 2) as refused,
    count(*) filter (where s.state = 3) as collided,
    count(*) filter (where s.state = 4) as unquarantined,
    count(*) filter (where s.state = 5) as in_flight
from (
    select
        width_bucket(maintenance.source_instant(l.{time}, {zone}), {bounds}) as place,
        case
            when l.{key}::text in (select c.key from maintenance.capture as c where c.source_id = {source_id}) then 5
            when l.{key}::text in (
                select q.key from maintenance.quarantine as q
                where q.source_id = {source_id} and q.target_key is not null
            ) then 3
            when f.reason is null then 1
            when exists (
                select 1 from maintenance.quarantine as q
                where
                    q.source_id = {source_id} and q.key = l.{key}::text and q.target_key is null
                    and q.reason = f.reason and q.legacy_row = to_jsonb(l)
            ) then 2
            else 4
        end as state,
        hashtextextended(hash_record_extended(row({record})::record, 0)::text, 0) as row_hash
    from {legacy} as l
    cross join lateral {forward}(l, {span_from}, {span_to}) as f
    where {within}
    offset 0
) as s
group by s.place
