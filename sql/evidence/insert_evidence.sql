-- Keep the facts that a gate judges, with what they are bound to.
-- params: subject, step, facts, hash, fingerprint, mapping_version, generation
insert into maintenance.evidence (subject, step, facts, hash, fingerprint, mapping_version, generation)
values (
    %(subject)s, %(step)s, %(facts)s::jsonb, %(hash)s, %(fingerprint)s, %(mapping_version)s, %(generation)s
)
returning id
