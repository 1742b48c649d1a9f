-- The end of the event times that a target takes, where it has a span.
-- params: target
select s.upper from maintenance.span as s where s.target = %(target)s
