-- How many rows a table has, the hash of their content in no order, and each column's figures, by one scan (§0.10, §4.8).
-- identifiers: relation
-- fragments: elements, figures
select count(*), coalesce(sum(hash_record_extended(row({elements}), 0)::numeric), 0)::text, {figures} from {relation} as r
