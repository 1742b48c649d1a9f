-- Whether a partition holds any row.
-- identifiers: partition
select exists (select from {partition}) as has_row
