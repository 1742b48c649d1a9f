-- The request that still waits for an answer or holds a valid one, if any.
-- params: migration
select
    r.id, r.quarantined_rows, r.fingerprint, r.mapping_version, r.requested_at,
    a.decision, a.name, a.reason, a.sign_offs, a.valid_until, a.given_at,
    a.valid_until < clock_timestamp() as is_expired
from maintenance.approval_request as r
left join maintenance.approval as a on r.id = a.request_id
where r.migration = %(migration)s and r.closed_at is null
order by r.requested_at desc
limit 1
