-- Read some rows as the ledger keeps them.
-- identifiers: relation
-- params: ids
-- locks: ACCESS SHARE on relation
select t.id::text, to_jsonb(t)::text
from {relation} as t
where t.id = any(%(ids)s)
