-- Prove the bounds of a detached partition, so that ATTACH needs no scan; a former attempt may have left the same CHECK.
-- identifiers: partition, key
-- literals: lower, upper
-- locks: ACCESS EXCLUSIVE on partition, which is detached, for one scan of it
alter table {partition}
drop constraint if exists maintenance_bounds,
add constraint maintenance_bounds check ({key} is not null and {key} >= {lower} and {key} < {upper})
