-- Grant on a new partition what the newest one of an adopted table grants.
-- identifiers: partition
-- fragments: privileges, grantee
grant {privileges} on {partition} to {grantee}
