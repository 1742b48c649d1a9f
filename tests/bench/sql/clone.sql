-- A copy of the filled template, owned by the maintenance role.
-- identifiers: database, template, owner
-- transaction: none
create database {database} template {template} owner {owner} strategy file_copy
