-- Insert one cache metric as the application does: id and time by default.
-- params: data
-- locks: ROW EXCLUSIVE on cache_metrics_monitoring
insert into monitoring.cache_metrics_monitoring as t (cache_key, operation_type, implementation_type, response_time_ms, metadata)
values ('writer:single', 'hit', 'new', (%(data)s::jsonb -> 'value')::int, %(data)s::jsonb)
returning t.id::text, to_jsonb(t)::text
