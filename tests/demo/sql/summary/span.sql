-- The times that the target takes at the end.
-- params: target
select s.lower, s.upper from maintenance.span as s where s.target = %(target)s
