-- Move the rows in [lower, upper) out of the default partition into a standalone table, in one statement.
-- identifiers: default_partition, partition, key
-- literals: lower, upper
-- fragments: columns
-- locks: ROW EXCLUSIVE on both
with moved as (
    delete from only {default_partition}
    where {key} >= {lower} and {key} < {upper}
    returning {columns}
)

insert into {partition} ({columns})
overriding system value
select {columns} from moved
