-- Mark sessions as expired whose fixed end has passed, a batch of them; a row that somebody is writing is left for later.
-- identifiers: table
-- params: as_of, batch_rows
-- locks: ROW EXCLUSIVE on table, and the rows
with due as materialized (
    select d.session_id from {table} as d
    where d.session_state <> 'expired' and d.expires_at <= %(as_of)s
    order by d.expires_at limit %(batch_rows)s
    for update skip locked
)
update {table} as s
set session_state = 'expired', version = s.version + 1
from due
where s.session_id = due.session_id
