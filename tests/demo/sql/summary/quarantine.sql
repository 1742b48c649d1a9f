-- Rows in quarantine by reason, whatever source a collision names.
-- params: migration
select regexp_replace(q.reason, ' with .*', '') as reason, count(*) as rows
from maintenance.quarantine as q
inner join maintenance.source as s on q.source_id = s.id
where s.migration = %(migration)s
group by 1
order by 2 desc
