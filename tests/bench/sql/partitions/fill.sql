-- Write rows into one day of a table, spread over it, with payloads of some 250 bytes of which a third is random.
-- identifiers: parent
-- params: lower, rows
insert into {parent} (
    event_type, event_category, source_system, event_timestamp, created_at, updated_at, event_data, event_metrics,
    severity, status, duration_ms, response_time_ms, correlation_id, user_id, session_id
)
select
    'type_' || n %% 40,
    (array['monitoring', 'validation', 'cache', 'error', 'dlq'])[1 + n %% 5],
    (array['websocket', 'supabase', 'cache', 'provider'])[1 + n %% 4],
    %(lower)s::timestamptz + n * (interval '23 hours' / %(rows)s),
    %(lower)s::timestamptz + n * (interval '23 hours' / %(rows)s),
    %(lower)s::timestamptz + n * (interval '23 hours' / %(rows)s),
    jsonb_build_object(
        'request', md5(n::text) || md5((-n)::text), 'path', '/v1/items/' || n %% 500, 'method', 'GET', 'status', 200 + n %% 5,
        'agent', 'Mozilla/5.0 (X11; Linux x86_64)', 'tags', jsonb_build_array('a', 'b', n %% 7)
    ),
    jsonb_build_object('cpu', n %% 100 / 8.0, 'memory', n * 7919 %% 100000),
    case when n %% 100 = 0 then 'error' when n %% 10 = 0 then 'warning' else 'info' end,
    (array['success', 'success', 'success', 'failed'])[1 + n %% 4],
    n * 31 %% 5000,
    n * 17 %% 900,
    md5((n / 3)::text),
    'user_' || n %% 1000,
    case when n %% 4 = 0 then 'session_' || n / 40 end
from generate_series(1::bigint, %(rows)s) as n
