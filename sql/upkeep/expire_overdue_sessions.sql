-- Mark sessions as expired whose fixed end has passed, a batch of them; a row that somebody is writing is left for later.
-- identifiers: table
-- params: as_of, batch_rows
-- locks: ROW EXCLUSIVE on table, and the rows
update {table} as s
set session_state = 'expired', version = s.version + 1
where s.session_id in (
    select due.session_id from {table} as due
    where due.session_state <> 'expired' and due.expires_at <= %(as_of)s
    order by due.expires_at limit %(batch_rows)s
    for update skip locked
)
