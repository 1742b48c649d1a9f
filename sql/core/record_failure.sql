-- Keep what ended a flow run, once for each run.
-- params: kind, object, message, flow, flow_run_id, occurred_at
insert into maintenance.failure (kind, object, message, flow, flow_run_id, occurred_at)
values (%(kind)s, %(object)s, %(message)s, %(flow)s, %(flow_run_id)s, %(occurred_at)s)
on conflict (flow_run_id) do nothing
