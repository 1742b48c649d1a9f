-- Failures that the declared sink has not got yet, the oldest first, those it refused last at the end; `failure` is all of one as JSON.
-- params: at_once
select
    f.id::text as id,
    f.occurred_at::text as occurred_at,
    f.kind,
    f.object,
    f.message,
    f.flow,
    f.flow_run_id,
    jsonb_build_object(
        'kind', f.kind, 'object', f.object, 'message', f.message, 'flow', f.flow, 'flow_run_id', f.flow_run_id
    ) as failure
from maintenance.failure as f
where f.delivered_at is null
order by f.refused_at nulls first, f.occurred_at
limit %(at_once)s
