-- Write rows of the target, as they are now, to the legacy table aside.
-- identifiers: aside, key, backward
-- fragments: names, values, changed, excluded
-- params: keys, times, legacy_keys
-- locks: ROW EXCLUSIVE on the table aside
insert into {aside} ({names}) overriding system value
select {values}
from unnest(%(keys)s::text[], %(times)s::timestamptz[], %(legacy_keys)s::text[]) as k (key, at, legacy_key)
inner join pg_temp.maintenance_carried as r on k.key = r.key and k.at = r.at
cross join lateral maintenance.{backward}(r.u) as b
on conflict ({key}) do update set ({changed}) = row({excluded})
