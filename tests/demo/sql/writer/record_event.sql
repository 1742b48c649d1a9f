-- Write an event through the RPC function.
-- params: data
-- locks: ROW EXCLUSIVE on events
select monitoring.record_event('writer_rpc', %(data)s::jsonb)
