-- Rows and bytes of a refreshed view.
-- identifiers: matview
-- params: name
select
    (select count(*) from {matview}) as rows_after,
    pg_total_relation_size(%(name)s::regclass) as size_bytes
