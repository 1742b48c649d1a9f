-- The role that the flows run as: no superuser.
-- identifiers: role
-- literals: password
create role {role} login password {password}
