-- The bounds of event times that a target takes, held still until this transaction ends.
-- params: target
-- locks: the target's row of maintenance.span FOR SHARE
select s.lower, s.upper from maintenance.span as s where s.target = %(target)s for share
