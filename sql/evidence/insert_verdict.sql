-- Keep a verdict; it counts until the server's clock passes its end, and for the state it was given for alone (design 8).
-- params: subject, step, status, evidence_id, evidence_hash, fingerprint, mapping_version, generation, reasons, data_docs, valid_for
insert into maintenance.verdict (
    subject, step, status, evidence_id, evidence_hash, fingerprint, mapping_version, generation, reasons, data_docs, valid_until
)
values (
    %(subject)s, %(step)s, %(status)s, %(evidence_id)s, %(evidence_hash)s, %(fingerprint)s, %(mapping_version)s,
    %(generation)s, %(reasons)s::jsonb, %(data_docs)s, clock_timestamp() + %(valid_for)s::interval
)
returning id, decided_at, valid_until
