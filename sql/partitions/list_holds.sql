-- The legal holds on tables.
-- params: relations
select h.relation, h.lower, h.upper, h.reason, h.until
from maintenance.hold as h
where h.relation = any(%(relations)s::text[])
order by h.id
