-- Ask for an approval of exactly this state.
-- params: migration, verdict_id, quarantined_rows, fingerprint, mapping_version
insert into maintenance.approval_request (migration, verdict_id, quarantined_rows, fingerprint, mapping_version)
values (%(migration)s, %(verdict_id)s, %(quarantined_rows)s, %(fingerprint)s, %(mapping_version)s)
returning id
