-- Hold the span of a target that is about to rise: copy and drain read it FOR SHARE.
-- params: target, upper
-- locks: ROW SHARE on maintenance.span and its row FOR UPDATE
select s.upper from maintenance.span as s where s.target = %(target)s and s.upper < %(upper)s for update
