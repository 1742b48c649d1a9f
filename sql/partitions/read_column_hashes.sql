-- The content hash of each column alone, to name the column in which two tables differ.
-- identifiers: relation
-- fragments: hashes
select {hashes} from {relation} as r
