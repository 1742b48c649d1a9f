-- Rows of a partitioned table, and the bytes of its partitions with their indexes.
-- identifiers: target
-- literals: name
-- locks: ACCESS SHARE on the target and its partitions
select
    (select count(*) from {target}) as rows,
    (select sum(pg_catalog.pg_total_relation_size(t.relid))::bigint from pg_catalog.pg_partition_tree({name}::regclass) as t) as bytes
