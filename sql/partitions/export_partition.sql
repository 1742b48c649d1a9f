-- Stream a detached partition in order of its key: its rows are sorted as they are stored, and only then written out as text.
-- identifiers: partition, key
-- fragments: columns
select {columns} from (
    select * from {partition} as p
    order by p.{key}
    offset 0
) as r
