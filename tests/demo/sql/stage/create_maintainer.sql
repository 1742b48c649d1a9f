-- The role that the flows run as: no superuser; it sees other roles' sessions, for the health report.
-- identifiers: role
-- literals: password
create role {role} login in role pg_monitor password {password}
