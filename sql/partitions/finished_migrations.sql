-- Which of the named migrations have been cut over: the rows of their target are all there.
-- params: names
select m.name from maintenance.migration as m where m.name = any(%(names)s::text[]) and m.phase in ('cut_over', 'retired')
