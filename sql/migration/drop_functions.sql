-- Drop functions that were made for a migration, where they exist.
-- params: names
-- locks: none on relations
select maintenance.drop_functions(%(names)s::text[])
