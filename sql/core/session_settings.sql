-- Settings that every maintenance session relies on: UTC, exact text forms, and a filtered read is an error (design 7, 11).
select
    set_config('TimeZone', 'UTC', false),
    set_config('DateStyle', 'ISO, MDY', false),
    set_config('IntervalStyle', 'postgres', false),
    set_config('extra_float_digits', '1', false),
    set_config('row_security', 'off', false),
    set_config('search_path', 'pg_catalog', false),
    set_config('client_connection_check_interval', '5s', false),
    set_config('jit', 'off', false)
