-- Count and hash the target's rows by unit and by the source that owns them: 0 maintenance itself, -1 nobody (M7).
-- bounds are the lower bounds of adjoining units, in the type of the partition key.
-- hash_record_extended is linear in the hashes of its columns: its sum stays the same when two rows swap a value. So each
-- row's hash is hashed once more before it is added.
-- identifiers: target, id, time
-- literals: bounds
-- fragments: record, owners, in_flight, within
-- locks: ACCESS SHARE on target
select
    s.place,
    s.owner,
    count(*) filter (where not s.is_in_flight) as unified_rows,
    coalesce(sum(s.row_hash) filter (where not s.is_in_flight), 0)::text as unified_hash
from (
    select
        width_bucket(u.{time}, {bounds}) as place,
        case
            {owners}
            when
                u.{id}::text collate "C"
                between '00000000-0000-8000-8000-000000000000' and '00000000-0000-8000-bfff-ffffffffffff'
                then 0
            else -1
        end as owner,
        coalesce(case {in_flight} else false end, false) as is_in_flight,
        hashtextextended(hash_record_extended(row({record})::record, 0)::text, 0) as row_hash
    from {target} as u
    where {within}
    offset 0
) as s
group by s.place, s.owner
