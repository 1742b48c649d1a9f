-- Names and checksums of the migrations that were applied.
select m.name, m.checksum from maintenance.applied_migration as m order by m.name
