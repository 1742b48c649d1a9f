-- Delete the legacy rows that stood for rows of the target which are gone or belong to another source now. A row in
-- quarantine stands for itself. An id that cannot be this source's is not asked for its key: it might have none.
-- identifiers: aside, key, forward, backward, owns, id, time
-- fragments: place
-- literals: source_id
-- params: keys, times
-- locks: ROW EXCLUSIVE on the table aside
delete from {aside} as l
using
    unnest(%(keys)s::text[], %(times)s::timestamptz[]) as k (key, at)
    cross join lateral maintenance.{backward}({place}) as b
where
    l.{key} = case when coalesce(maintenance.{owns}({place}), true) then b.{key} end
    and exists (
        select from maintenance.{forward}(l, '-infinity', 'infinity') as f
        where f.{id}::text = k.key and f.{time}::timestamptz = k.at
    )
    and not exists (
        select from maintenance.quarantine as q where q.source_id = {source_id} and q.key = l.{key}::text
    )
