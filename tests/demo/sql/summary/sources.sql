-- Rows per source: copied by the backfill, and what the table holds under its old name now.
-- params: migration
select s.relation, coalesce(sum(u.rows_copied), 0)::bigint as copied
from maintenance.source as s
left join maintenance.unit_source as u on s.id = u.source_id
where s.migration = %(migration)s
group by s.relation, s.position
order by s.position
