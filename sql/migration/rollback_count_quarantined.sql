-- How many rows that came in through the old names are in quarantine.
-- params: migration
select count(*) as rows
from maintenance.quarantine as q
inner join maintenance.source as s on q.source_id = s.id
inner join maintenance.cutover as c on s.migration = c.migration
where s.migration = %(migration)s and q.quarantined_at > c.cut_over_at
