-- Note why the sink did not take a failure.
-- params: failure, reason
update maintenance.failure set refused = %(reason)s, refused_at = clock_timestamp() where id = %(failure)s::uuid
