-- Migrations whose target is the table and that capture changes: until their cutover nothing may leave the target.
-- params: target
select m.name from maintenance.migration as m where m.target = %(target)s and m.phase = 'capturing' order by m.name
