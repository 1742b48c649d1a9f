-- Look rows up by key for the rest of this transaction: a batch is small against every table that it touches, whatever their
-- statistics say (a partition that was just attached has none), and only a nested loop without a materialized inner side finds
-- each pair in its own partition without reading the others.
select
    set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    set_config('enable_material', 'off', true),
    set_config('work_mem', '32MB', true)
