-- pg_partman, usable by the maintenance role.
-- identifiers: role
create schema partman;
create extension pg_partman schema partman;
grant all on schema partman to {role};
grant all on all tables in schema partman to {role}
