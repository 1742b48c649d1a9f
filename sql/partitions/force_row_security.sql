-- Hold the owner to the policies too, as on the partition that is copied.
-- identifiers: partition
-- locks: ACCESS EXCLUSIVE on partition, which nobody else can see yet
alter table {partition} force row level security
