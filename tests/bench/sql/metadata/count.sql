-- How many rows a turn has inserted.
-- identifiers: target
select count(*) from {target}
