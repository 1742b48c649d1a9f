-- Take back the use of the target's schema that the cutover gave.
-- identifiers: schema, role
-- locks: none on relations
revoke usage on schema {schema} from {role}
