-- Declare an index on a partitioned table without building any: new partitions get it, the existing ones one by one.
-- identifiers: index, relation
-- fragments: using, columns, options, predicate
-- locks: SHARE on relation, for as long as the catalog takes
create index {index} on only {relation} using {using} ({columns}) {options} {predicate}
