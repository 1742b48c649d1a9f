-- Keep the row type of a legacy table that goes: the view's functions take its rows.
-- identifiers: type
-- fragments: columns
-- locks: none on relations
create type {type} as ({columns})
