-- How many rows a default partition holds, counted to a thousand.
-- identifiers: partition
-- locks: ACCESS SHARE on the default partition
select count(*) as rows from (select from {partition} limit 1000) as r
