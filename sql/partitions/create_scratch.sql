-- Make an empty table of a partition's types, to load an archive into; never logged, and rolled back with its transaction.
-- identifiers: scratch, partition
create unlogged table {scratch} (like {partition})
