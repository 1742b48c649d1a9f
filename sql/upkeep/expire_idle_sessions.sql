-- Mark sessions as expired that were idle for too long, as of the moment when they had been, a batch of them.
-- identifiers: table
-- params: as_of, expire_after, batch_rows
-- locks: ROW EXCLUSIVE on table, and the rows
with due as materialized (
    select d.session_id from {table} as d
    where d.expires_at is null and d.last_activity_at <= %(as_of)s - %(expire_after)s
    order by d.last_activity_at limit %(batch_rows)s
    for update skip locked
)
update {table} as s
set
    session_state = 'expired',
    expires_at = s.last_activity_at + %(expire_after)s,
    version = s.version + 1
from due
where s.session_id = due.session_id
