-- Insert several cache metrics with ids and times of the application's choice.
-- params: ids, times, data
-- locks: ROW EXCLUSIVE on cache_metrics_monitoring
insert into monitoring.cache_metrics_monitoring as t (
    id, cache_key, operation_type, implementation_type, cache_size, error_type, error_message, metadata, timestamp
)
select
    id, 'writer:batch:' || n, (array['hit', 'miss', 'set', 'evict', 'error'])[1 + mod(n, 5)], 'legacy', n,
    nullif('', repeat('e', mod(n::int, 2))), '', nullif(%(data)s::jsonb, '{{}}'), at
from unnest(%(ids)s::uuid [], %(times)s::timestamptz []) with ordinality as rows (id, at, n)
returning t.id::text, to_jsonb(t)::text
