-- Write the rows that came in through the old name and that the mapping refuses to the old table, which takes them.
-- identifiers: aside, key
-- fragments: names, restored, changed, excluded
-- params: source_id, since
-- locks: ROW EXCLUSIVE on the table aside
insert into {aside} ({names}) overriding system value
select {restored}
from maintenance.quarantine as q
cross join lateral jsonb_populate_record(null::{aside}, q.legacy_row) as p
where q.source_id = %(source_id)s and q.quarantined_at > %(since)s
on conflict ({key}) do update set ({changed}) = row({excluded})
