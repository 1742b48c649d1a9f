-- Judge rows in quarantine anew, after cutover: those that the raised span takes now, and those whose place has become free.
-- One that came from the legacy table is read there, one that came in through the old name as it was kept.
-- identifiers: aside, key, forward, target, id, time
-- fragments: restored, columns, mapped, key_type
-- literals: source_id, span_from, span_to
-- params: since
-- locks: ROW EXCLUSIVE on target, ACCESS SHARE on the table aside
with queued as (
    delete from maintenance.capture as c where c.source_id = {source_id} returning c.key
),

kept as materialized (
    select q.key, l as legacy_row
    from maintenance.quarantine as q
    inner join {aside} as l on q.key::{key_type} = l.{key}
    where q.source_id = {source_id} and q.quarantined_at <= %(since)s and q.key in (select k.key from queued as k)
    union all
    select q.key, row({restored})::{aside}
    from maintenance.quarantine as q
    cross join lateral jsonb_populate_record(null::{aside}, q.legacy_row) as p
    where q.source_id = {source_id} and q.quarantined_at > %(since)s and q.key in (select k.key from queued as k)
),

judged as materialized (
    select k.key as maintenance_key, f.*
    from kept as k
    cross join lateral maintenance.{forward}(k.legacy_row, {span_from}, {span_to}) as f
    where f.reason is null
),

returned as (
    insert into {target} ({columns}) overriding system value
    select {mapped} from judged as f
    on conflict do nothing
    returning {id}, {time}
)

delete from maintenance.quarantine as q
using judged as j
inner join returned as r on j.{id} = r.{id} and j.{time} = r.{time}
where q.source_id = {source_id} and q.key = j.maintenance_key
