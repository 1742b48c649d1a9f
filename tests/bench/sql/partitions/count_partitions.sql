-- How many partitions a table has.
-- literals: parent
select count(*) from pg_catalog.pg_inherits where inhparent = {parent}::regclass
