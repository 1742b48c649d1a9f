-- Since when the server counts this database's index scans; null where the counters were never reset.
select s.stats_reset as since from pg_catalog.pg_stat_database as s where s.datname = current_database()
