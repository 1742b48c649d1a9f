-- Have a table archived once more: it has changed since its archive was verified.
-- params: id
update maintenance.retirement set state = 'detached', manifest = null, changed_at = clock_timestamp() where id = %(id)s
