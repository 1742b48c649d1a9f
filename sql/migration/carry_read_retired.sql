-- Read what stands in a partition that retention has taken out: it is frozen, and what changed in it last still counts.
-- identifiers: target, partition, id, time
-- fragments: id_type, time_type
-- params: lower, upper
-- locks: ACCESS SHARE on partition
update pg_temp.maintenance_carried as r
set u = row(p.*)::{target}
from {partition} as p
where
    r.at >= %(lower)s and r.at < %(upper)s and (r.u).{id} is null
    and p.{id} = r.key::{id_type} and p.{time} = r.at::{time_type}
