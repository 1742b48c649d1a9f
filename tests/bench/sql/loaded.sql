-- Rows of a table with children, and the bytes of these with their indexes.
-- identifiers: target
-- literals: name
-- locks: ACCESS SHARE on the target and its children
select
    (select count(*) from {target}) as rows,
    (
        select sum(pg_catalog.pg_total_relation_size(i.inhrelid))::bigint
        from pg_catalog.pg_inherits as i
        where i.inhparent = {name}::regclass
    ) as bytes
