-- The last key of each range of so many rows of a source, in order.
-- identifiers: source
-- params: rows
-- locks: ACCESS SHARE on source
select k.id::text as key
from (select s.id, row_number() over (order by s.id) as number, count(*) over () as total from {source} as s) as k
where k.number %% %(rows)s = 0 or k.number = k.total
order by k.id
