-- Take back a right on the target that the cutover gave.
-- identifiers: target, role
-- fragments: privilege
-- locks: none on relations
revoke {privilege} on {target} from {role}
