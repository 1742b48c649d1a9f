-- Tell the state of one breaker; who has not seen it change keeps the instant that another process has told.
-- params: dependency, address, state, failures, since, reason, seen_by
insert into maintenance.breaker as b (dependency, address, state, failures, since, reason, seen_by)
values (
    %(dependency)s, %(address)s, %(state)s, %(failures)s,
    coalesce(%(since)s::timestamptz, clock_timestamp()), %(reason)s, %(seen_by)s
)
on conflict (dependency, address) do update
set
    state = excluded.state,
    failures = excluded.failures,
    since = case when %(since)s::timestamptz is null and b.state = excluded.state then b.since else excluded.since end,
    reason = excluded.reason,
    seen_by = excluded.seen_by,
    told_at = clock_timestamp()
