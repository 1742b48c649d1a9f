-- Where the server keeps its data; null where this role may not know.
select max(g.setting) as data_directory from pg_catalog.pg_settings as g where g.name = 'data_directory'
