-- Give an application role a right on the target that the declaration names (M3).
-- identifiers: target, role
-- fragments: privilege
-- locks: none on relations
grant {privilege} on {target} to {role}
