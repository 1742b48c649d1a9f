-- Delete sessions that have been expired for long enough, a batch of them.
-- identifiers: table
-- params: as_of, purge_after, batch_rows
-- locks: ROW EXCLUSIVE on table, and the rows
with due as materialized (
    select d.session_id from {table} as d
    where d.session_state = 'expired' and d.expires_at <= %(as_of)s - %(purge_after)s
    order by d.expires_at limit %(batch_rows)s
    for update skip locked
)
delete from {table} as s using due
where s.session_id = due.session_id
