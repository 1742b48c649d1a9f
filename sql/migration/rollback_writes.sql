-- How many rows were written through an old name; sequences lose nothing but what was rolled back is counted too.
-- identifiers: counter
-- locks: none on relations
select case when c.is_called then c.last_value else 0 end as writes from {counter} as c
