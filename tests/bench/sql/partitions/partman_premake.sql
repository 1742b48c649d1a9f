-- How many partitions pg_partman makes ahead.
-- params: parent, premake
update partman.part_config set premake = %(premake)s where parent_table = %(parent)s
