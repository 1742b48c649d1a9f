-- Record that a run begins, and mark earlier runs of the subject that died as abandoned.
-- params: flow, subject, lock, flow_run_id
with dead as (
    update maintenance.run as r
    set outcome = 'abandoned', ended_at = clock_timestamp()
    where
        r.outcome = 'running' and r.detail ->> 'lock' = %(lock)s
)
insert into maintenance.run (flow, subject, flow_run_id, detail)
values (%(flow)s, %(subject)s, %(flow_run_id)s, jsonb_build_object('lock', %(lock)s::text))
returning id
