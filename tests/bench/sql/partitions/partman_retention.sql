-- How long pg_partman keeps a partition, which it then drops.
-- params: parent, retention
update partman.part_config set retention = %(retention)s, retention_keep_table = false where parent_table = %(parent)s
