-- Use a time zone once, so that an unknown one is refused here and not in the middle of a copy.
-- params: zone
select pg_catalog.now() at time zone %(zone)s as local_time
