-- Put the rows that a former way back has kept whole into the target again, in the place of what their legacy rows map to,
-- where those rows are still as they were carried (M6).
-- identifiers: legacy, key, forward, backward, owns, target, id, time
-- fragments: whole, given, stored, columns, whole_columns, key_type
-- literals: migration, source_id, span_from, span_to
-- locks: ACCESS SHARE on legacy, ROW EXCLUSIVE on target
with kept as materialized (
    select c.id as entry, c.legacy_key, {whole} as whole
    from maintenance.carry_back as c
    cross join lateral jsonb_populate_record(null::{target}, c.target_row) as p
    where c.migration = {migration} and c.source_id = {source_id} and c.reason is null
),

unchanged as materialized (
    select k.entry, k.whole, f.{id} as id, f.{time} as at
    from kept as k
    cross join lateral maintenance.{backward}(k.whole) as b
    inner join {legacy} as l on k.legacy_key::{key_type} = l.{key}
    cross join lateral maintenance.{forward}(l, {span_from}, {span_to}) as f
    where f.reason is null and row({given})::record is not distinct from row({stored})::record
),

replaced as (
    delete from {target} as u
    using unchanged as n
    where u.{id} = n.id and u.{time} = n.at and maintenance.{owns}(u)
    returning n.entry
)

insert into {target} ({columns}) overriding system value
select {whole_columns}
from unchanged as n
inner join replaced as r on n.entry = r.entry
on conflict do nothing
