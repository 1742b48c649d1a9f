-- Delete the quarantined rows of captured keys: each is judged anew.
-- params: source_id, keys
delete from maintenance.quarantine where source_id = %(source_id)s and key = any(%(keys)s::text[])
