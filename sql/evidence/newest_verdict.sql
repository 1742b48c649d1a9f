-- The newest verdict of a gate on a subject.
-- params: subject, step
select
    v.id, v.status, v.evidence_id, v.evidence_hash, v.fingerprint, v.mapping_version, v.generation, v.reasons, v.data_docs,
    v.decided_at, v.valid_until
from maintenance.verdict as v
where v.subject = %(subject)s and v.step = %(step)s
order by v.id desc
limit 1
