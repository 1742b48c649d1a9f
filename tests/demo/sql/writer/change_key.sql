-- Give a row another key.
-- identifiers: relation
-- params: id, new_id
-- locks: ROW EXCLUSIVE on relation
update {relation} as t set id = %(new_id)s where t.id = %(id)s
returning t.id::text, to_jsonb(t)::text
