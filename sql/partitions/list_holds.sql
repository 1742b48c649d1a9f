-- The legal holds on a table.
-- params: relation
select h.lower, h.upper, h.reason, h.until from maintenance.hold as h where h.relation = %(relation)s order by h.id
