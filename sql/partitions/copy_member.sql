-- Copy the rows of one partition into the longer one that will take its place.
-- identifiers: member, partition
-- fragments: columns
-- locks: ACCESS SHARE on member, ROW EXCLUSIVE on partition
insert into {partition} ({columns})
overriding system value
select {columns} from only {member}
