-- Copy a policy of an adopted table's newest partition.
-- identifiers: partition
-- fragments: policy, definition
create policy {policy} on {partition} {definition}
