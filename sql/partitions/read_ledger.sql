-- What tells this database's ledger from every other: the instant at which its first migration was applied.
select to_char(min(m.applied_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as ledger
from maintenance.applied_migration as m
