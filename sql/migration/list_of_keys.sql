-- Keys that were kept as the text of an array, as a list.
-- params: keys
select %(keys)s::text[] as keys
