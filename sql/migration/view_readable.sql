-- The condition under which a view has rows for a role that may select from it: one that a policy of the legacy table lets
-- read. A subquery is evaluated once, not once for each partition.
-- literals: readers
where (select maintenance.has_any_role({readers}::text[]))
