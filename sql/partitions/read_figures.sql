-- How many rows a table has, the hash of their content in no order, and each column's figures, by one scan (§0.10, §4.8).
-- A row's hash is hashed once more: hash_record_extended is linear, so its sum is the same when two rows swap a value.
-- identifiers: relation
-- fragments: elements, figures
select
    count(*),
    coalesce(sum(hashtextextended(hash_record_extended(row({elements}), 0)::text, 0)::numeric), 0)::text,
    {figures}
from {relation} as r
