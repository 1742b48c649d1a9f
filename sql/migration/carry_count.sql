-- How many of the rows carried to a legacy table are there, under the keys that they must have.
-- identifiers: aside, key, backward
-- fragments: key_type
-- params: keys, times, legacy_keys
-- locks: ACCESS SHARE on the table aside
select count(*) as found
from unnest(%(keys)s::text[], %(times)s::timestamptz[], %(legacy_keys)s::text[]) as k (key, at, legacy_key)
inner join pg_temp.maintenance_carried as r on k.key = r.key and k.at = r.at
cross join lateral maintenance.{backward}(r.u) as b
inner join {aside} as l on l.{key} = coalesce(k.legacy_key::{key_type}, b.{key})
