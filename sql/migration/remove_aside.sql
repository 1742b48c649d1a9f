-- Create the table that takes a partition's rows of a migration, until their archive is verified.
-- identifiers: aside, partition
create table {aside} (like {partition})
