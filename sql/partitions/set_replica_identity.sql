-- Let a partition publish its updates and deletes as its siblings do; LIKE does not copy it.
-- identifiers: partition
-- fragments: identity
alter table {partition} replica identity {identity}
