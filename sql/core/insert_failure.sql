-- Write one failure into the declared sink; what stands in no declared column gets the column's default.
-- identifiers: table
-- fragments: columns
-- params: row
-- locks: ROW EXCLUSIVE on table
insert into {table} ({columns})
select {columns} from jsonb_populate_record(null::{table}, %(row)s::jsonb)
on conflict do nothing
