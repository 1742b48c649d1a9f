-- Say on a partition what its parent says; LIKE copies the comments of columns and constraints only.
-- identifiers: partition
-- literals: comment
comment on table {partition} is {comment}
