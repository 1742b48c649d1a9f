-- Close what was asked before: the state it was asked for is no longer the state at hand.
-- params: migration, reason
update maintenance.approval_request
set closed_at = clock_timestamp(), close_reason = %(reason)s
where migration = %(migration)s and closed_at is null
