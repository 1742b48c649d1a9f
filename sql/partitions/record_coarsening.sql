-- Record how far a coarsening has come.
-- params: id, state, reason
update maintenance.coarsening
set
    state = %(state)s,
    reason = %(reason)s,
    ended_at = case when %(state)s in ('done', 'abandoned') then clock_timestamp() end
where id = %(id)s
