-- Make a table like the parent for [lower, upper), not attached yet and without indexes; its CHECK spares ATTACH the scan.
-- identifiers: partition, parent, key
-- literals: lower, upper
-- fragments: storage
-- locks: ACCESS SHARE on parent
create table {partition} (
    like {parent} including all excluding identity excluding indexes,
    constraint maintenance_bounds check ({key} is not null and {key} >= {lower} and {key} < {upper})
) {storage}
