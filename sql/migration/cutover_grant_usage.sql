-- Let an application role name the target.
-- identifiers: schema, role
-- locks: none on relations
grant usage on schema {schema} to {role}
