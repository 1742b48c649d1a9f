-- List the keys whose rows are not exactly what the ledger says: another content, missing, there though deleted, or doubled.
-- identifiers: relation
-- params: keys, rows
-- locks: ACCESS SHARE on relation
select expected.key::text, expected.row, array_agg(to_jsonb(t)::text) filter (where t.id is not null) as actual
from unnest(%(keys)s, %(rows)s::text []) as expected (key, row)
left join {relation} as t on expected.key = t.id
group by expected.key, expected.row
having
    count(t.id) <> case when expected.row is null then 0 else 1 end
    or min(to_jsonb(t)::text) is distinct from expected.row
