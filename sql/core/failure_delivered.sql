-- Note that the sink has got a failure.
-- params: failure
update maintenance.failure set delivered_at = clock_timestamp(), refused = null, refused_at = null where id = %(failure)s::uuid
