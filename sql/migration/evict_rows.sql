-- Give the places that a later source's rows hold to the accepted rows of the keys, which come first in declared order: delete
-- those rows and queue their keys, so that they are judged as collisions.
-- identifiers: target, id, time, legacy, key, forward, loser_owns, loser_backward, loser_key
-- fragments: key_type
-- params: keys, loser_id, span_from, span_to
-- locks: ROW EXCLUSIVE on target and the partitions concerned, ACCESS SHARE on legacy
with evicted as (
    delete from {target} as u
    using
        unnest(%(keys)s::text[]::{key_type}[]) as k (key)
    inner join {legacy} as l on k.key = l.{key}
    cross join lateral {forward}(l, %(span_from)s, %(span_to)s) as m
    where m.reason is null and u.{id} = m.{id} and u.{time} = m.{time} and {loser_owns}(u)
    returning u
)

insert into maintenance.capture (source_id, key)
select %(loser_id)s, b.{loser_key}::text
from evicted as e
cross join lateral {loser_backward}(e.u) as b
