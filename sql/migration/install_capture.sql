-- Create the capture triggers of a source, or put them right.
-- params: source_id
-- locks: SHARE ROW EXCLUSIVE on the legacy table (waits for its writers, and for nothing else)
select maintenance.install_capture(%(source_id)s)
