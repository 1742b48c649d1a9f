-- Quarantined collisions of other sources at the places that captured keys have or had: their winner may have gone.
-- identifiers: target, id, time
-- fragments: key_type
-- params: source_id, keys, instants, code
select q.source_id, q.key, q.target_key, q.event_time as instant
from (
    select
        maintenance.target_id(k.key, %(code)s, (null::{target}).{id}) as id,
        maintenance.target_time(k.instant, (null::{target}).{time}) as time
    from unnest(%(keys)s::text[]::{key_type}[], %(instants)s::timestamptz[]) as k (key, instant)
    where exists (select from maintenance.quarantine as q where q.target_key is not null)
) as p
inner join maintenance.quarantine as q
    on p.id::text = q.target_key and maintenance.source_instant(p.time, 'UTC') = q.event_time
where q.target_key is not null and q.source_id <> %(source_id)s
