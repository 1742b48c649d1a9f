-- Rows whose legacy key is taken by a row in quarantine, by an earlier row of these, or by a row that could only be kept
-- whole; and which other place the legacy row under that key stands for, if any.
-- identifiers: aside, key, forward, backward, id, time
-- fragments: key_type
-- literals: source_id
-- params: keys, times, legacy_keys
-- locks: ACCESS SHARE on the table aside
select
    m.key,
    m.at::text as event_time,
    m.place > 1
    or exists (
        select from maintenance.quarantine as q where q.source_id = {source_id} and q.key = m.legacy_key::text
    )
    or exists (
        select from maintenance.carry_back as c
        where
            c.source_id = {source_id} and c.legacy_key = m.legacy_key::text
            and (c.target_key <> m.key or c.event_time <> m.at)
    ) as is_rival,
    f.{id}::text as other_key,
    f.{time}::timestamptz::text as other_time
from (
    select
        k.key,
        k.at,
        coalesce(k.legacy_key::{key_type}, b.{key}) as legacy_key,
        row_number() over (partition by coalesce(k.legacy_key::{key_type}, b.{key}) order by k.at, k.key) as place
    from unnest(%(keys)s::text[], %(times)s::timestamptz[], %(legacy_keys)s::text[]) as k (key, at, legacy_key)
    inner join pg_temp.maintenance_carried as r on k.key = r.key and k.at = r.at
    cross join lateral maintenance.{backward}(r.u) as b
) as m
left join {aside} as l on m.legacy_key = l.{key}
left join lateral maintenance.{forward}(l, '-infinity', 'infinity') as f
    on l.{key} is not null and (f.{id}::text <> m.key or f.{time}::timestamptz <> m.at)
