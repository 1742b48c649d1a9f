-- Record that the legacy tables are gone; what waited to be carried back stands in the target, which alone counts now.
-- params: migration
with waiting as (
    delete from maintenance.reverse_capture as r where r.migration = %(migration)s
)

update maintenance.migration set phase = 'retired', changed_at = clock_timestamp() where name = %(migration)s
