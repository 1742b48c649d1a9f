-- Write one row into each day from one to another.
-- identifiers: parent
-- params: first, last
insert into {parent} (id, at, kind)
select 1, day, 'a' from generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 day') as day
