-- Let nobody but the owner execute functions that were made for a migration.
-- params: names
select maintenance.close_functions(%(names)s::text[])
