-- Drop a contender's database.
-- identifiers: database
-- transaction: none
drop database if exists {database} with (force)
