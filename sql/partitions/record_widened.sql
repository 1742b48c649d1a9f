-- Record that a detached partition got columns which its archive does not have: it would have to be archived again.
-- params: oid
update maintenance.retirement
set state = 'detached', archived_at = null, changed_at = clock_timestamp()
where partition_oid = %(oid)s and state in ('archiving', 'archived')
