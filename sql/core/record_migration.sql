-- Record an applied migration in the transaction that applied it (M1).
-- params: name, checksum
insert into maintenance.applied_migration (name, checksum) values (%(name)s, %(checksum)s)
