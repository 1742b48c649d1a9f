-- Record the intent to merge partitions into one.
-- params: parent, lower, upper, partition, members, oids, run_id
insert into maintenance.coarsening (parent, lower, upper, partition, members, member_oids, run_id)
values (%(parent)s, %(lower)s, %(upper)s, %(partition)s, %(members)s::text[], %(oids)s::oid[], %(run_id)s)
returning id
