-- Whether a partition holds a row that the declaration keeps, such as an undelivered one.
-- identifiers: partition
-- fragments: condition
-- locks: ACCESS SHARE on partition
select exists (select from {partition} as r where {condition}) as has_row
