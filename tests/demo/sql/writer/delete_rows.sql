-- Delete some rows.
-- identifiers: relation
-- params: ids
-- locks: ROW EXCLUSIVE on relation
delete from {relation} as t where t.id = any(%(ids)s)
returning t.id::text
