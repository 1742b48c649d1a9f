-- How many rows are in quarantine in all: more than a person approved stops the cutover (design 9).
-- params: declared
select count(q.key) as rows
from maintenance.declared_sources(%(declared)s::jsonb) as s
left join maintenance.quarantine as q on s.source_id = q.source_id
