-- Let the server read its settings anew; sessions from here on have them.
select pg_catalog.pg_reload_conf()
