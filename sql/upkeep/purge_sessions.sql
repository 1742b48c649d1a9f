-- Delete sessions that have been expired for long enough, a batch of them.
-- identifiers: table
-- params: as_of, purge_after, batch_rows
-- locks: ROW EXCLUSIVE on table, and the rows
delete from {table} as s
where s.session_id in (
    select due.session_id from {table} as due
    where due.session_state = 'expired' and due.expires_at <= %(as_of)s - %(purge_after)s
    order by due.expires_at limit %(batch_rows)s
    for update skip locked
)
