-- The first and last time of a table's rows where it has any and all of them lie in [lower, upper); nulls otherwise.
-- identifiers: partition, key
-- literals: lower, upper
-- locks: ACCESS SHARE on partition
select
    min(s.{key}) as first,
    max(s.{key}) as last
from {partition} as s
where not exists (select from {partition} as o where o.{key} < {lower} or o.{key} >= {upper})
