-- Name the target rows of one unit that no source owns and that maintenance did not write.
-- identifiers: target, id, time
-- literals: limit
-- fragments: owners, unified_within
-- locks: ACCESS SHARE on target
select
    'unowned' as kind,
    count(*) over () as kind_rows,
    null as key,
    u.{id}::text as target_key,
    u.{time}::timestamptz::text as event_time,
    'no source owns this row' as reason,
    null as expected,
    maintenance.bounded_json(to_jsonb(u))::text as found
from {target} as u
where
    {unified_within}
    and case
        {owners}
        when
            u.{id}::text collate "C"
            between '00000000-0000-8000-8000-000000000000' and '00000000-0000-8000-bfff-ffffffffffff'
            then 0
        else -1
    end = -1
order by u.{time}, u.{id}
limit {limit}
