-- Stream a detached partition in order of its key.
-- identifiers: partition, key
-- fragments: columns
select {columns} from {partition} as r order by r.{key}
