-- Record that a run found its subject locked.
-- params: flow, subject, detail
insert into maintenance.run (flow, subject, outcome, ended_at, detail)
values (%(flow)s, %(subject)s, 'deferred', clock_timestamp(), %(detail)s::jsonb)
