-- Make the schema of the tables that are planned.
create schema planned
