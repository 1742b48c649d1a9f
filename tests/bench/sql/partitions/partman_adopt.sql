-- Let pg_partman maintain a table by day whose partitions bear its names; without its default partition, as the others.
-- identifiers: default_partition
-- literals: parent, first
select partman.create_parent({parent}, 'event_timestamp', 'native', 'daily', p_premake := 1, p_start_partition := {first});
drop table if exists {default_partition}
