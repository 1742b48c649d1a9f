-- Let one half be read through the parent.
-- identifiers: half, parent
-- locks: ACCESS EXCLUSIVE on half
alter table {half} inherit {parent}
