-- Set one column of some rows.
-- identifiers: relation, column
-- params: ids, value
-- locks: ROW EXCLUSIVE on relation
update {relation} as t set {column} = %(value)s where t.id = any(%(ids)s)
returning t.id::text, to_jsonb(t)::text
