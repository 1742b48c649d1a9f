-- The partitions that earlier runs of the same flow run have begun to remove: a retry has no more places than one run.
-- params: run_id, parent
select distinct r.partition
from maintenance.run as n
inner join maintenance.run as e on n.flow = e.flow and n.subject = e.subject and n.flow_run_id = e.flow_run_id and n.id > e.id
inner join maintenance.retirement as r on e.id = r.run_id
where n.id = %(run_id)s and r.parent = %(parent)s and r.state not in ('due', 'returned')
