-- Draw keys for rows that had no id of this source.
-- params: sequence, count
select nextval(%(sequence)s::regclass)::text as key from generate_series(1, %(count)s)
