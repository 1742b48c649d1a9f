-- Ask for an approval of exactly this state.
-- params: migration, quarantined_rows, fingerprint, mapping_version
insert into maintenance.approval_request (migration, quarantined_rows, fingerprint, mapping_version)
values (%(migration)s, %(quarantined_rows)s, %(fingerprint)s, %(mapping_version)s)
returning id
