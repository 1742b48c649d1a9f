-- How many rows of the default partition lie in [lower, upper): they would refuse a partition for it (23514).
-- identifiers: partition, key
-- literals: lower, upper
-- locks: ACCESS SHARE on the default partition
select count(*) as rows from {partition} where {key} >= {lower} and {key} < {upper}
