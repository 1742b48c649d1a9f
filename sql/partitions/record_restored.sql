-- Record that a partition is attached again, and hold it so that retention does not take it at once.
-- params: oid, run_id, relation, lower, upper, reason, owner, until
with restored as (
    update maintenance.retirement
    set
        state = 'returned', note = 'restored by run ' || %(run_id)s::bigint, run_id = %(run_id)s,
        changed_at = clock_timestamp()
    where partition_oid = %(oid)s and state not in ('dropped', 'returned')
    returning id
)

insert into maintenance.hold (relation, lower, upper, reason, owner, until)
select %(relation)s, %(lower)s, %(upper)s, %(reason)s, %(owner)s, %(until)s
from (select count(*) from restored) as one
