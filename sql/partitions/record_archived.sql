-- Record the verified archive of a partition; its grace period begins. A run as of the past cannot shorten it.
-- params: id, manifest, as_of
update maintenance.retirement
set
    state = 'archived',
    manifest = %(manifest)s::jsonb,
    archived_at = greatest(%(as_of)s::timestamptz, clock_timestamp() - interval '1 hour'),
    changed_at = clock_timestamp()
where id = %(id)s
