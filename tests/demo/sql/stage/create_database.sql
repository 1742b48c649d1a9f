-- The demo's database, fresh each time, owned by the maintenance role.
-- identifiers: database, owner
-- transaction: none
create database {database} owner {owner}
