-- Let a target take event times up to the end of its runway.
-- params: target, upper
update maintenance.span set upper = %(upper)s, changed_at = clock_timestamp() where target = %(target)s
