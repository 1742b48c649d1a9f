-- Keep the facts that a gate judges, with what they are bound to, and let go of facts older than half a year: verdicts stay,
-- with the hash of what they judged, but a frame of every partition each day would grow without end.
-- params: subject, step, facts, hash, fingerprint, mapping_version, generation
with old as (
    select e.id from maintenance.evidence as e where e.taken_at < clock_timestamp() - interval '180 days'
),

unbound as (
    update maintenance.verdict set evidence_id = null where evidence_id in (select o.id from old as o)
),

removed as (
    delete from maintenance.evidence where id in (select o.id from old as o)
)

insert into maintenance.evidence (subject, step, facts, hash, fingerprint, mapping_version, generation)
values (
    %(subject)s, %(step)s, %(facts)s::jsonb, %(hash)s, %(fingerprint)s, %(mapping_version)s, %(generation)s
)
returning id
