-- Name the rows of one source that lost a collision whose winner has gone: nothing keeps them in quarantine any more (M2).
-- identifiers: owns, target, id, time
-- literals: source_id, limit
-- fragments: id_type, time_type
-- locks: ACCESS SHARE on target
select
    'released' as kind,
    count(*) over () as kind_rows,
    q.key,
    q.target_key,
    q.event_time::text as event_time,
    q.reason,
    null as expected,
    maintenance.bounded_json(q.legacy_row)::text as found
from maintenance.quarantine as q
where
    q.source_id = {source_id} and q.target_key is not null
    and q.key not in (select c.key from maintenance.capture as c where c.source_id = {source_id})
    and not exists (
        select
        from {target} as u
        where
            u.{id} = q.target_key::{id_type} and u.{time} = maintenance.target_time(q.event_time, null::{time_type})
            and not {owns}(u)
    )
order by q.key
limit {limit}
