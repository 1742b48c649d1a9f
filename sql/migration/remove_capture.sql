-- Drop the capture triggers of a source.
-- params: source_id
-- locks: ACCESS EXCLUSIVE on the legacy table
select maintenance.remove_capture(%(source_id)s)
