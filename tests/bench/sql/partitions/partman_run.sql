-- pg_partman's maintenance of one table, in its one transaction.
-- params: parent
-- locks: SHARE UPDATE EXCLUSIVE on the parent where it makes partitions, ACCESS EXCLUSIVE where it removes any
select partman.run_maintenance(%(parent)s, p_analyze := false, p_jobmon := false)
