-- Record the intent to detach a partition; nothing where one is under way already.
-- params: parent, partition, partition_oid, lower, upper, state, reason, run_id, as_of
insert into maintenance.retirement (parent, partition, partition_oid, lower, upper, state, reason, run_id, due_at)
values (
    %(parent)s, %(partition)s, %(partition_oid)s, %(lower)s, %(upper)s, %(state)s, %(reason)s, %(run_id)s, %(as_of)s
)
on conflict (partition_oid) where state not in ('dropped', 'returned') do nothing
